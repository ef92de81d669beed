"""The storage contract against a real server: starts it, runs contract_tests, stops it.   run_contract.py file|minio|ceph|ceph-tls"""
import os
import subprocess
import sys

from harness import BUILD, CACHE, Minio, Rgw, Scratch


def main(kind):
    if kind == "minio" and not (CACHE / "bin/minio").exists():
        print("MinIO is not there: it needs Go to be built")
        return 77
    scratch = Scratch()
    try:
        env = dict(os.environ)
        if kind != "file":
            server = {"minio": Minio, "ceph": Rgw, "ceph-tls": lambda scratch: Rgw(scratch, tls=True)}[kind](scratch)
            env.update(WALGD_TEST_S3_ENDPOINT=server.endpoint, WALGD_TEST_S3_BUCKET=server.bucket, WALGD_TEST_S3_ACCESS_KEY=server.access,
                       WALGD_TEST_S3_SECRET_KEY=server.secret, WALGD_TEST_S3_REGION="us-east-1")
            if kind == "ceph-tls":
                env["WALGD_TEST_S3_CA"] = str(server.folder / "public.crt")
        return subprocess.call([BUILD / "contract_tests"], env=env)
    finally:
        scratch.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
