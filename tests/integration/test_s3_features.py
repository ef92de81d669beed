"""What S3 servers are asked for beside plain objects: host style, regions, server-side encryption, storage classes; each seen from outside."""
import base64
import hashlib
import os
import subprocess
import unittest

from harness import BUILD, CACHE, Minio, Rgw, Scratch, Walgd, signed_request

CUSTOMER_KEY, OTHER_KEY = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
REGION = "eu-test-1"
KMS_KEY = "walgd-key"
HISTORY = "00000002.history"


def customer_headers(key):
    raw = key.encode()
    return {"x-amz-server-side-encryption-customer-algorithm": "AES256", "x-amz-server-side-encryption-customer-key": base64.b64encode(raw).decode(),
            "x-amz-server-side-encryption-customer-key-md5": base64.b64encode(hashlib.md5(raw).digest()).decode()}


class Features(unittest.TestCase):
    """On one server, made by make_server() in a subclass. Objects are small WAL files, pushed and fetched by walg without a daemon."""
    region = "us-east-1"

    @classmethod
    def setUpClass(cls):
        cls.scratch = Scratch()
        cls.addClassCleanup(cls.scratch.close)
        cls.server = cls.make_server(cls.scratch)
        cls.source = cls.scratch.path / HISTORY
        cls.source.write_text("1\t0/3000000\tno recovery target specified\n")

    def walg(self, prefix, **settings):
        """As the server is reached by a name, with the bucket before it, and nothing said of the region."""
        base = {**self.server.settings(prefix), "WALG_COMPRESSION_METHOD": "zstd", "WALG_LOG_LEVEL": "DEVEL"}
        base["AWS_ENDPOINT"] = self.server.endpoint.replace("127.0.0.1", "localhost")
        for name in ("AWS_S3_FORCE_PATH_STYLE", "AWS_REGION"):
            base.pop(name)
        if self.server.ca:
            base["WALG_S3_CA_CERT_FILE"] = str(self.server.ca)
        return Walgd(self.scratch, {**base, **settings})

    def fetched(self, walg):
        target = self.scratch.path / "fetched"
        target.unlink(missing_ok=True)
        result = walg.walg("wal-fetch", HISTORY, target, check=False)
        if result.returncode == 0:
            self.assertEqual(target.read_text(), self.source.read_text())
        return result

    def head(self, prefix, headers=None):
        """Status and headers of the pushed object, lower case, by another hand than ours."""
        path = f"/{self.server.bucket}/{prefix}/wal_005/{HISTORY}.zst"
        status, found = signed_request("HEAD", self.server.endpoint, path, self.server.access, self.server.secret, self.server.ca, headers, self.region)
        return status, {name.lower(): value for name, value in found.items()}

    def contract(self, **options):
        """Every kind of request, multipart uploads too."""
        env = {**os.environ, "WALGD_TEST_S3_ENDPOINT": self.server.endpoint.replace("127.0.0.1", "localhost"), "WALGD_TEST_S3_BUCKET": self.server.bucket,
               "WALGD_TEST_S3_ACCESS_KEY": self.server.access, "WALGD_TEST_S3_SECRET_KEY": self.server.secret, "WALGD_TEST_S3_HOST_STYLE": "1",
               **{f"WALGD_TEST_S3_{name}": value for name, value in options.items()}}
        if self.server.ca:
            env["WALGD_TEST_S3_CA"] = str(self.server.ca)
        result = subprocess.run([BUILD / "contract_tests"], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(result.returncode, 0, result.stdout[-3000:])

    def check_host_style(self):
        walg = self.walg("host")
        said = walg.walg("wal-push", self.source).stderr
        self.assertEqual(self.fetched(walg).returncode, 0)
        self.assertIn('method=PUT key="/host/wal_005/', said, "the bucket is not in the path")
        self.assertEqual(self.head("host")[0], 200)

    def check_customer_key(self):
        walg = self.walg("sse-c", WALG_S3_SSE_C=CUSTOMER_KEY)
        walg.walg("wal-push", self.source)
        walg.walg("wal-push", self.source)  # found there, read with the key, and the same
        self.assertEqual(self.fetched(walg).returncode, 0)
        status, _ = self.head("sse-c")
        self.assertEqual(status, 400, "the server gives it to nobody without the key")
        status, found = self.head("sse-c", customer_headers(CUSTOMER_KEY))
        self.assertEqual((status, found["x-amz-server-side-encryption-customer-algorithm"]), (200, "AES256"))
        for settings in ({}, {"WALG_S3_SSE_C": OTHER_KEY}):
            refused = self.fetched(self.walg("sse-c", **settings))
            self.assertNotIn(refused.returncode, (0, 74), "neither there nor absent")
            self.assertIn(HISTORY, refused.stderr)

    def check_class(self, name):
        walg = self.walg("class", WALG_S3_STORAGE_CLASS=name)
        walg.walg("wal-push", self.source)
        self.assertEqual(self.fetched(walg).returncode, 0)
        self.assertEqual(self.head("class")[1].get("x-amz-storage-class"), name)


class OnMinio(Features):
    """With TLS, a region of its own, a domain for buckets, and a key of its key management."""
    region = REGION

    @classmethod
    def make_server(cls, scratch):
        if not (CACHE / "bin/minio").exists() and not os.environ.get("CI"):
            raise unittest.SkipTest("MinIO is not there: it needs Go to be built")
        key = base64.b64encode(bytes(range(32))).decode()
        return Minio(scratch, tls=True, environment={"MINIO_DOMAIN": "localhost", "MINIO_SITE_REGION": REGION, "MINIO_KMS_SECRET_KEY": f"{KMS_KEY}:{key}"})

    def test_bucket_in_the_host_name_and_the_region_found_out(self):
        self.check_host_style()

    def test_a_region_that_is_wrong_is_found_out_too(self):
        walg = self.walg("region", AWS_REGION="us-west-2")
        self.assertIn(f"region={REGION}", walg.walg("wal-push", self.source).stderr)
        self.assertEqual(self.fetched(walg).returncode, 0)

    def test_customer_key(self):
        self.check_customer_key()

    def test_storage_class(self):
        self.check_class("REDUCED_REDUNDANCY")

    def test_the_storage_contract_with_all_of_it(self):
        self.contract(SSE_C=CUSTOMER_KEY, STORAGE_CLASS="REDUCED_REDUNDANCY")
        self.contract(SSE="aws:kms", SSE_KMS_ID=KMS_KEY)

    def test_encryption_by_the_servers_keys(self):
        for name, settings, expected in (("sse-s3", {"WALG_S3_SSE": "AES256"}, {"x-amz-server-side-encryption": "AES256"}),
                                         ("sse-kms", {"WALG_S3_SSE": "aws:kms", "WALG_S3_SSE_KMS_ID": KMS_KEY}, {"x-amz-server-side-encryption": "aws:kms"})):
            with self.subTest(name):
                walg = self.walg(name, **settings)
                walg.walg("wal-push", self.source)
                self.assertEqual(self.fetched(walg).returncode, 0)
                status, found = self.head(name)
                self.assertEqual((status, {header: found.get(header) for header in expected}), (200, expected))
                if "WALG_S3_SSE_KMS_ID" in settings:
                    self.assertTrue(found["x-amz-server-side-encryption-aws-kms-key-id"].endswith(KMS_KEY), found)
        unknown = self.walg("sse-kms", WALG_S3_SSE="aws:kms", WALG_S3_SSE_KMS_ID="no-such-key").walg("wal-push", self.source, check=False)
        self.assertEqual(unknown.returncode, 0, "there already, with the same content")
        unknown = self.walg("sse-none", WALG_S3_SSE="aws:kms", WALG_S3_SSE_KMS_ID="no-such-key").walg("wal-push", self.source, check=False)
        self.assertEqual(unknown.returncode, 1)
        self.assertIn(HISTORY, unknown.stderr)


class OnCeph(Features):
    """With a domain for buckets, customer keys over plain HTTP, and a storage class of its own."""

    @classmethod
    def make_server(cls, scratch):
        def add_class(server):
            place = ["--placement-id", "default-placement", "--storage-class", "COLD"]
            server.ceph("radosgw-admin", "zonegroup", "placement", "add", "--rgw-zonegroup", "default", *place)
            server.ceph("radosgw-admin", "zone", "placement", "add", "--rgw-zone", "default", *place, "--data-pool", "default.rgw.cold.data")

        return Rgw(scratch, gateway="rgw dns name = localhost\nrgw crypt require ssl = false", prepare=add_class)

    def test_bucket_in_the_host_name(self):
        self.check_host_style()

    def test_customer_key(self):
        self.check_customer_key()

    def test_storage_class(self):
        self.check_class("COLD")

    def test_the_storage_contract_with_all_of_it(self):
        # Ceph copies nothing that a customer's key encrypts.
        self.contract(SSE_C=CUSTOMER_KEY, STORAGE_CLASS="COLD", CANNOT_COPY="true")


def load_tests(loader, standard, pattern):
    return unittest.TestSuite(loader.loadTestsFromTestCase(case) for case in (OnMinio, OnCeph))


if __name__ == "__main__":
    unittest.main(verbosity=2)
