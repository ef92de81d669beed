"""Root filesystems in folders, made by debootstrap, for tests that run whole machines: as root."""
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
# What Debian's slim images leave out, so that sizes compare.
SLIM = "".join(f"path-exclude /usr/share/{name}/*\n" for name in ("doc", "man", "info", "locale", "groff", "lintian", "linda")) + "path-include /usr/share/doc/*/copyright\n"

# The environment in which apt-get asks nothing, and finds its way.
FOR_APT = ["DEBIAN_FRONTEND=noninteractive", *(f"{name}={value}" for name, value in os.environ.items() if name.lower().endswith("_proxy"))]


def say(text):
    print(text, flush=True)


def until(what, condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            sys.exit(f"{what}: not within {seconds} s")
        time.sleep(0.05)
    return value


class Root:
    """A root filesystem in a folder."""

    def __init__(self, folder):
        self.folder = folder

    @staticmethod
    def bootstrap(folder, log):
        targets = subprocess.check_output(["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages"], text=True)
        source = next(line.split()[0] for line in targets.splitlines() if line.split()[1] == "bookworm")
        subprocess.check_call(["debootstrap", "--variant=minbase", "bookworm", folder, source], stdout=log, stderr=log)
        (folder / "etc/dpkg/dpkg.cfg.d/slim").write_text(SLIM)
        for name in re.findall(r"path-exclude /(\S+)/\*", SLIM):
            shutil.rmtree(folder / name, ignore_errors=True)
        (folder / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
        (folder / "usr/sbin/policy-rc.d").chmod(0o755)
        for name in ("sources.list", "sources.list.d", "apt.conf.d", "keyrings", "trusted.gpg.d", "auth.conf.d"):
            place, own = pathlib.Path("/etc/apt") / name, folder / "etc/apt" / name
            if place.is_dir():
                shutil.copytree(place, own, dirs_exist_ok=True)
            elif place.exists():
                shutil.copy(place, own)
        shutil.copytree("/usr/share/keyrings", folder / "usr/share/keyrings", dirs_exist_ok=True)
        shutil.copy("/etc/resolv.conf", folder / "etc/resolv.conf")
        root = Root(folder)
        root.forget_downloads()
        return root

    def clone(self, folder):
        subprocess.check_call(["cp", "-a", self.folder, folder])
        return Root(folder)

    def forget_downloads(self):
        for name in ("var/lib/apt/lists", "var/cache/apt/archives"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for name in ("var/lib/apt/lists/partial", "var/cache/apt/archives/partial"):
            (self.folder / name).mkdir(parents=True)

    def bytes(self):
        return int(subprocess.check_output(["du", "-sx", "--block-size=1", self.folder], text=True).split()[0])

    def sh(self, text, log):
        subprocess.check_call(["chroot", self.folder, "env", "-i", *FOR_APT, "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "sh", "-ec", text], stdout=log, stderr=log)

    def inside(self, user, env, command):
        return ["chroot", f"--userspec={user}", self.folder, "env", "-i", "PATH=/usr/local/bin:/usr/bin:/bin", *(f"{name}={value}" for name, value in env.items()), *command]

    def start(self, volumes, user, env, command, log, closed=False):
        """As process 1 of its own namespaces. `volumes`: folders of this machine by their place inside. `closed`: nothing but these can be written,
        and no privilege can be had by a program with the set-user-ID bit."""
        here = shlex.quote(str(self.folder))
        script = f"mount --bind {here} {here} && mount -o remount,ro,bind {here}\n" if closed else ""
        script += f"mount -t proc proc {here}/proc\n"
        for inside, outside in volumes.items():
            (self.folder / inside.lstrip("/")).mkdir(parents=True, exist_ok=True)
            script += f"mount --bind {shlex.quote(str(outside))} {here}{shlex.quote(inside)}\n"
        drop = ["setpriv", "--no-new-privs"] if closed else []
        script += "exec " + shlex.join(str(word) for word in [*drop, *self.inside(user, env, command)])
        return subprocess.Popen(["unshare", "--mount", "--pid", "--ipc", "--fork", "--kill-child", "sh", "-ec", script], stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def build_packages(folder, log):
    """The commands of the Dockerfile's first stage, but for the installation of what a build needs."""
    release = SOURCE / "build/release"
    subprocess.check_call(["cmake", "--preset", "release", "-DWALGD_TESTS=OFF"], cwd=SOURCE, stdout=log, stderr=log)
    subprocess.check_call(["cmake", "--build", release], stdout=log, stderr=log)
    subprocess.check_call(["cpack", "--config", release / "CPackConfig.cmake", "-B", folder], cwd=SOURCE, stdout=log, stderr=log)
