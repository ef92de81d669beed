"""The storage is gone under load, for WALGD_TEST_OUTAGE_SECONDS (15). The long form is a command of its own: outage.py --seconds 600."""
import os
import unittest

from outage import Outage
from storage_support import need_minio

SECONDS = float(os.environ.get("WALGD_TEST_OUTAGE_SECONDS", "15"))


class StorageOutage(Outage):
    def test_a_storage_that_refuses_connections_under_load_loses_nothing_and_costs_nothing(self):
        self.survive(SECONDS, silent=False)

    def test_a_storage_that_falls_silent_under_load_loses_nothing_and_costs_nothing(self):
        self.survive(SECONDS, silent=True)


if __name__ == "__main__":
    need_minio()
    unittest.main(verbosity=2)
