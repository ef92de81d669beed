#include "common/base/error.hpp"
#include "common/base/files.hpp"
#include "common/pgbackrest/run_reader.hpp"
#include "tests/unit/async_support.hpp"

#include <catch2/catch.hpp>

using namespace walgd;
using namespace walgd::pgbackrest;
using namespace walgd::test;
using Catch::Matchers::Contains;

namespace {

Sha1Digest sha1_of(std::string_view text) {
    Sha1 hash;
    hash.update(bytes_of(text));
    return hash.digest();
}

/// A bundle with two files, "one" and "other", and bytes between them that nobody needs.
struct Bundle {
    const std::string content = "the first..the second file";
    Manifest manifest;
    RestoreRuns plan;

    Bundle() {
        manifest.compression = codec::compression_by_suffix("");
        manifest.labels = {"20261126-033339F"};
        manifest.files = {
            ManifestFile{.name = "pg_data/one", .bytes = 9, .stored_bytes = 9, .bundle = 1, .mode = 0600},
            ManifestFile{
                .name = "pg_data/base/other", .bytes = 15, .stored_bytes = 15, .bundle = 1, .bundle_offset = 11, .mode = 0640}};
        manifest.files[0].sha1 = sha1_of("the first");
        manifest.files[1].sha1 = sha1_of("the second file");
        plan = plan_runs(manifest);
    }

    /// Restores out of `stored`, `cut` bytes at a time. Returns what the files hold.
    std::string restored(std::string_view stored, std::size_t cut = 1000) const {
        const TemporaryFolder folder;
        backup::RestoreTarget target(folder / "data");
        target.prepare();
        backup::Progress progress;
        RunReader reader(manifest, plan, plan.runs.at(0), "bundle/1", target, progress);
        for (; !stored.empty(); stored.remove_prefix(std::min(cut, stored.size()))) reader.write(bytes_of(stored.substr(0, cut)));
        reader.finish();
        return read_text_file(target.path() + "/one") + "|" + read_text_file(target.path() + "/base/other");
    }
};

} // namespace

TEST_CASE("files come out of a bundle in any cut of its bytes", "[pgbackrest]") {
    const Bundle bundle;
    for (const auto cut : std::vector<std::size_t>{1, 2, 9, 10, 11, 12, 1000})
        CHECK(bundle.restored(bundle.content, cut) == "the first|the second file");
}

TEST_CASE("every changed, missing or added byte of a bundle's files is told by name", "[pgbackrest]") {
    const Bundle bundle;
    for (std::size_t at = 0; at < bundle.content.size(); ++at) {
        if (at == 9 || at == 10) continue; // between the files
        auto changed = bundle.content;
        changed[at] ^= 1;
        CHECK_THROWS_WITH(bundle.restored(changed),
                          Contains(at < 9 ? "bundle/1: pg_data/one " : "bundle/1: pg_data/base/other "));
        CHECK_THROWS_WITH(bundle.restored(bundle.content.substr(0, at)), Contains("is not all there"));
    }
    CHECK_THROWS_WITH(bundle.restored(bundle.content + "x"), Contains("bundle/1 is longer"));
}

TEST_CASE("a file of another size than the manifest's is told before it fills the disk", "[pgbackrest]") {
    Bundle bundle;
    bundle.manifest.files[0].bytes = 5;
    CHECK_THROWS_WITH(bundle.restored(bundle.content), Contains("pg_data/one has more than 5 bytes"));
    bundle.manifest.files[0].bytes = 10;
    CHECK_THROWS_WITH(bundle.restored(bundle.content), Contains("has 9 bytes, and the manifest says 10"));
}
