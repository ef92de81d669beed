#include "common/archive/wal/delta_recorder.hpp"
#include "common/archive/wal/segment_files.hpp"
#include "common/archive/wal/wal_push.hpp"
#include "common/base/files.hpp"
#include "common/base/mapped_file.hpp"
#include "common/pg/delta_object.hpp"
#include "tests/unit/file_backend.hpp"
#include "tests/unit/wal_text.hpp"

#include <fcntl.h>
#include <fstream>

namespace walgd::archive {

namespace {

using test::WalText;

const pg::RelationId table{1663, 5, 16384};
constexpr unsigned heap = 10;
constexpr std::uint64_t first_number = 15, segments = 18; ///< one before the group from 16 on, and one behind it
const DeltaGroup group{pg::TimelineId(1), 1, WalText::segment};

/// A cluster's pg_wal, and an archive.
struct World {
    test::FileBackend backend;
    test::TemporaryFolder pg_wal;
    MemoryBudget budget{64 << 20};
    std::shared_ptr<Log> log = silent_log();
    Archive archive{backend.storage(),
                    {codec::compression_by_name("zstd"), "", nullptr},
                    backend.loop.executor(),
                    backend.pool(),
                    budget,
                    *log};
    std::vector<pg::Lsn> begins; ///< of the record that refers to block 0, 1 and so on
    WalText wal{first_number};

    /// `cut`: records go over the ends of segments; else the segment before the group is closed.
    explicit World(bool cut) {
        while (wal.end().bytes() < (first_number + segments) * WalText::segment) {
            const auto block = static_cast<std::uint32_t>(begins.size());
            begins.push_back(
                wal.add(test::record(heap, 0, test::reference(table, block), std::string(20000 + block % 7000, 'x'))));
            if (!cut && begins.size() == 10) wal.switch_segment();
        }
        for (std::uint64_t index = 0; index < segments; ++index) write(index);
    }
    std::string name(std::uint64_t index) const {
        return pg::segment_name({group.timeline, first_number + index}, group.segment_bytes);
    }
    void write(std::uint64_t index, char spoil = 0) {
        auto text = wal.part(index);
        text[text.size() / 2] = static_cast<char>(text[text.size() / 2] ^ spoil);
        std::ofstream(pg_wal / name(index), std::ios::binary) << text;
    }
    void push(std::uint64_t index) {
        WalPusher pusher(archive, {});
        auto file = open_file(pg_wal / name(index), O_RDONLY | O_CLOEXEC);
        backend.loop.run(pusher.push(name(index), std::move(file)));
    }
    void remove(std::uint64_t index) { std::filesystem::remove(pg_wal / name(index)); }
    void record(bool replace = false) { backend.loop.run(record_group(archive, pg_wal.path(), group, replace)); }
    std::string stored() {
        SegmentFiles files(archive, {});
        auto file = backend.loop.run(files.open_stored(group.object_name()));
        if (!file) return {};
        const MappedFile content(std::move(file), group.object_name());
        return std::string(text_of(content.view()));
    }
    /// The first record that begins at or behind a segment's begin, or the one that is cut there.
    std::size_t first_of(std::uint64_t index) const {
        const pg::Lsn begin((first_number + index) * WalText::segment);
        const auto behind = static_cast<std::size_t>(std::ranges::lower_bound(begins, begin) - begins.begin());
        return begins[behind].bytes() - begin.bytes() > 40 ? behind - 1 : behind;
    }
};

} // namespace

TEST_CASE("a group's map holds the records from the one that is cut at its begin to the one that is cut at its end",
          "[archive]") {
    const bool cut = GENERATE(true, false);
    World world(cut);
    if (!cut) world.remove(0); // nothing of it goes on in the group
    world.record();
    const auto object = pg::parse_delta_object(bytes_of(world.stored()), "stored");
    const auto first = cut ? world.first_of(1) : 10, behind = world.first_of(17);
    REQUIRE(object.proof);
    CHECK(object.proof->system.number() == test::WalHeaderText().system);
    CHECK(object.proof->start == (cut ? world.begins[first] : pg::Lsn(16 * WalText::segment)));
    CHECK(object.proof->end == world.begins[behind]);
    CHECK(object.sections.size() == (cut ? 17 : 16));
    CHECK(object.tail.size() > 24);
    auto block = static_cast<std::uint32_t>(first);
    for (std::size_t index = 0; index < object.sections.size(); ++index) {
        const auto next = index + 1 < object.sections.size() ? object.sections[index + 1].start : object.proof->end;
        std::vector<std::uint32_t> expected;
        for (; world.begins[block] < next; ++block) expected.push_back(block);
        const auto* fork = object.sections[index].changes.find(table);
        CHECK((fork == nullptr ? std::vector<std::uint32_t>() : fork->blocks.between(0, 1ULL << 32)) == expected);
    }
    CHECK(block == behind);
}

TEST_CASE("wherever a group's segments are, its map is the same; one that cannot be read makes none", "[archive]") {
    World world(true);
    world.record();
    const auto whole = world.stored();
    REQUIRE_FALSE(whole.empty());
    auto forget = [&world] { std::filesystem::remove(world.backend.folder / ("wal_005/" + group.object_name() + ".zst")); };
    for (std::uint64_t index = 0; index < segments; index += 2) {
        world.push(index);
        world.remove(index);
    }
    forget();
    world.record();
    CHECK(world.stored() == whole);
    forget();
    world.write(6, 1);
    CHECK(test::kind_of([&] { world.record(); }) == ErrorKind::corrupt);
    CHECK(world.stored().empty());
    world.remove(6);
    world.remove(7);
    CHECK_THAT(test::text_of_error([&] { world.record(); }), Catch::Contains(world.name(7) + " is neither in"));
    CHECK(world.stored().empty());
    world.write(7);
    world.record();
    CHECK(world.stored() == whole);
}

TEST_CASE("a map that is there stays, but for a push that replaces WAL", "[archive]") {
    World world(true);
    const auto path = world.backend.folder / ("wal_005/" + group.object_name() + ".zst");
    std::filesystem::create_directories(world.backend.folder / "wal_005");
    std::ofstream(path) << "another";
    world.record();
    CHECK(read_text_file(path) == "another");
    world.record(true);
    CHECK(pg::parse_delta_object(bytes_of(world.stored()), "stored").proof);
}

TEST_CASE("a group ends with its sixteenth segment", "[archive]") {
    const auto ended = DeltaGroup::ended_by("00000002000000010000003F", pg::segment_bytes_default);
    REQUIRE(ended);
    CHECK(ended->object_name() == "000000020000000100000030_delta");
    CHECK_FALSE(DeltaGroup::ended_by("00000002000000010000003E", pg::segment_bytes_default));
    CHECK_FALSE(DeltaGroup::ended_by("00000002000000010000003F.partial", pg::segment_bytes_default));
    CHECK_FALSE(DeltaGroup::ended_by("00000002.history", 40));
    CHECK_FALSE(DeltaGroup::ended_by("00000002000000010000003F", 12345));
}

} // namespace walgd::archive
