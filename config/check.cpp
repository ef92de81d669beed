#include "config/check.hpp"

#include "common/archive/chain.hpp"
#include "common/archive/layout.hpp"
#include "common/archive/wal/wal_push.hpp"
#include "config/check_server.hpp"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace walgd::config {

namespace {

std::string check_packing(const archive::Packing& packing) {
    const std::string probe(100000, 'w');
    codec::BlobSink packed;
    archive::PackChain pack(packing, codec::Content::wal, packed);
    pack.head().write(bytes_of(probe));
    pack.head().finish();
    const auto blob = packed.take();
    const auto cipher =
        packing.cipher == nullptr ? std::string("not encrypted") : fmt::format("encrypted with {}", packing.cipher->name());
    if (packing.cipher != nullptr && !packing.cipher->can_decrypt())
        return fmt::format("{}, {} (public key: this host can write, not restore)", packing.compression->name(), cipher);
    codec::BlobSink unpacked;
    archive::UnpackChain unpack(packing.cipher, *packing.compression, unpacked);
    unpack.head().write(blob.view());
    unpack.head().finish();
    if (text_of(unpacked.take().view()) != probe) throw Error(ErrorKind::corrupt, "what was packed does not come back as it was");
    return fmt::format("{}, {}, reads back", packing.compression->name(), cipher);
}

/// Where the daemon will listen, or does already.
void check_socket(const std::string& path, Checks& checks) {
    const auto parent = std::filesystem::path(path).parent_path().string();
    const auto folder = parent.empty() ? std::string(".") : parent;
    constexpr std::size_t pid_bytes = 8; // the daemon binds PATH.PID, then renames it
    struct stat about{};
    if (path.size() + pid_bytes >= sizeof sockaddr_un::sun_path)
        checks.run("socket", [&]() -> std::string {
            throw Error(ErrorKind::misconfigured, fmt::format("the socket's path {} is too long", path),
                        "name a shorter one in WALGD_SOCKET");
        });
    else if (::lstat(path.c_str(), &about) == 0)
        checks.run("socket", [&] {
            if (!S_ISSOCK(about.st_mode))
                throw Error(ErrorKind::refused, fmt::format("{} is there, and is no socket", path),
                            "name another path in WALGD_SOCKET, or remove it");
            return fmt::format("{} is there: a daemon made it", path);
        });
    else if (::access(folder.c_str(), W_OK) == 0)
        checks.run("socket", [&] { return fmt::format("{} can be made", path); });
    else
        checks.warn("socket",
                    fmt::format("this user cannot make {} ({}): the systemd unit makes its folder; else make it yourself, "
                                "or set WALGD_SOCKET",
                                path, std::strerror(errno)));
}

} // namespace

int run_check(const Settings& settings, archive::Archive& archive, std::ostream& out, bool server) {
    Checks checks(out);
    auto& storage = archive.storage;
    const auto key = archive::probe_key();
    const std::string probe = "walgd --check";
    checks.run("settings", [&] { return fmt::format("storage {}", storage.describe()); });
    for (const auto& warning : settings.warnings()) checks.warn("settings", warning);
    check_socket(settings.text("socket"), checks);
    checks.run("packing", [&] { return check_packing(archive.packing); });
    checks.run("storage: list", [&] {
        const auto page = run_blocking(archive.io, storage.list(std::string(archive::backup_folder), {}));
        return fmt::format("{} objects on the first page of {}", page.objects.size(), archive::backup_folder);
    });
    checks.run("storage: write", [&] {
        run_blocking(archive.io, storage.put(key, bytes_of(probe), {}));
        return fmt::format("wrote {}", key.path());
    });
    checks.run("storage: read", [&] {
        const auto blob = run_blocking(archive.io, storage::get_whole(storage, key, 1 << 20));
        if (!blob || text_of(blob->view()) != probe)
            throw Error(ErrorKind::corrupt, fmt::format("{} does not come back as it was written", key.path()));
        return std::string("it comes back as written");
    });
    checks.run("storage: remove", [&] {
        const auto failures = run_blocking(archive.io, storage.remove({key}));
        if (!failures.empty()) throw failures.front().error;
        return std::string("removed it");
    });
    checks.run("storage: conditional write", [&] {
        const auto found = run_blocking(archive.io, archive::probe_conditional_put(archive));
        return std::string(found == archive::ConditionalPut::works ? "If-None-Match is kept: nothing can be overwritten"
                                                                   : "not kept by this storage: walgd looks before it puts");
    });
    if (server) check_server(settings, archive, checks);
    return checks.failed() ? 1 : 0;
}

} // namespace walgd::config
