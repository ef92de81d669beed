#include "common/archive/chain.hpp"
#include "common/backup/tar_fetch.hpp"
#include "common/codec/tar_writer.hpp"
#include "common/storage/file/file_storage.hpp"
#include "tests/unit/async_support.hpp"
#include "tests/unit/codec_support.hpp"
#include "tests/unit/counting_storage.hpp"

#include <map>
#include <set>

namespace walgd::backup {

namespace {

/// Keeps the files that it wants.
class Keeper : public codec::TarReader::Handler {
public:
    explicit Keeper(std::set<std::string> wanted) : wanted_(std::move(wanted)) {}
    void begin(const codec::TarMember& member) override {
        name_ = member.name;
        seen.insert(name_);
    }
    void data(ByteView bytes) override {
        if (wanted_.contains(name_)) files[name_].append(text_of(bytes));
    }
    void end() override {}
    bool can_skip(std::uint64_t, std::uint64_t) const override { return !wanted_.contains(name_); }
    bool has(std::uint64_t count, const codec::ContentHash& hash) override {
        const auto at = files[name_].size();
        if (here == nullptr || here->at(name_).size() < at + count) return false;
        const auto there = std::string_view(here->at(name_)).substr(at, count);
        return codec::content_hash(bytes_of(there)) == hash;
    }
    void skip(std::uint64_t count) override {
        if (wanted_.contains(name_)) files[name_].append(here->at(name_), files[name_].size(), count);
    }
    const std::map<std::string, std::string>* here = nullptr; ///< contents that are there already
    std::map<std::string, std::string> files;
    std::set<std::string> seen;

private:
    std::set<std::string> wanted_;
    std::string name_;
};

std::string noise(std::size_t bytes, unsigned seed) {
    std::mt19937_64 random(seed);
    std::string text;
    while (text.size() < bytes) {
        const auto number = random();
        text.append(reinterpret_cast<const char*>(&number), sizeof number);
    }
    text.resize(bytes);
    return text;
}

class Fixture {
public:
    Fixture() {
        for (unsigned index = 0; index < 8; ++index)
            content[fmt::format("/base/1/{}", index)] = noise((index % 3 + 1) * 1'500'000 + index, index);
    }
    ~Fixture() { pool_.join(); }

    /// The tar of all files as an object.
    TarObject stored(const std::string& level = {}) {
        codec::BlobSink object;
        archive::PackChain chain({zstd, level, nullptr}, codec::Content::pages, object);
        codec::TarWriter writer(chain.head());
        for (const auto& [name, text] : content) {
            codec::TarMember member;
            member.name = name;
            member.size = text.size();
            writer.begin(member);
            writer.write(bytes_of(text));
            writer.end_member();
        }
        writer.finish();
        return put(object.take());
    }
    TarObject put(Blob object) {
        const TarObject tar{storage::ObjectKey("basebackups_005/b/tar_partitions/part_001.tar.zst"), object.size(), zstd, {}};
        run_blocking(io_.io.get_executor(), storage_.put(tar.key, object.view(), {}));
        storage_.calls = 0;
        return tar;
    }
    Keeper fetch(const TarObject& tar, std::set<std::string> wanted, const std::map<std::string, std::string>* here = nullptr) {
        Keeper keeper(std::move(wanted));
        keeper.here = here;
        fetched = 0;
        fetch_from_tar(archive, tar, keeper, {}, [this](std::size_t count) { fetched += count; });
        return keeper;
    }
    int requests() const { return storage_.calls; }

    const codec::Compression* zstd = codec::compression_by_name("zstd");
    std::map<std::string, std::string> content;
    std::uint64_t fetched = 0;

private:
    test::TemporaryFolder folder_;
    asio::thread_pool pool_{2};
    test::Beside io_;
    std::unique_ptr<storage::Storage> files_ = storage::make_file_storage(folder_.path(), pool_.get_executor());
    test::CountingStorage storage_{*files_};
    MemoryBudget budget_{64 << 20};
    std::shared_ptr<Log> log_ = silent_log();

public:
    archive::Archive archive{storage_, {zstd, "", nullptr}, io_.io.get_executor(), pool_.get_executor(), budget_, *log_};
};

} // namespace

TEST_CASE("of a tar whose frames are known only what is needed is fetched", "[backup]") {
    Fixture fixture;
    const auto tar = fixture.stored();
    for (const auto& wanted : {std::set<std::string>{"/base/1/6"}, {"/base/1/0", "/base/1/7"}, {"/base/1/2", "/base/1/3"}}) {
        const auto kept = fixture.fetch(tar, wanted);
        CHECK(kept.seen.size() == fixture.content.size()); // its headers are read all the same
        std::uint64_t bytes = 0;
        for (const auto& name : wanted) {
            CHECK((kept.files.at(name) == fixture.content.at(name)));
            bytes += fixture.content.at(name).size();
        }
        // And at each end of a file the rest of a frame.
        CHECK(fixture.fetched < bytes + 8 * (std::uint64_t{1} << 20) + (2 << 20));
    }
    CHECK(fixture.fetch(tar, {}).files.empty());
    CHECK(fixture.fetch(tar, {fixture.fetch(tar, {}).seen}).files == fixture.content);
    CHECK(fixture.fetched >= tar.bytes - 1000);
}

TEST_CASE("a tar without a table is read whole, one with a damaged table is corrupt", "[backup]") {
    Fixture fixture;
    const auto one_frame = fixture.stored("3");
    CHECK((fixture.fetch(one_frame, {"/base/1/6"}).files.at("/base/1/6") == fixture.content.at("/base/1/6")));
    CHECK(fixture.fetched == one_frame.bytes);

    const auto key = fixture.stored().key;
    auto object = *run_blocking(fixture.archive.io, storage::get_whole(fixture.archive.storage, key, 64 << 20));
    object.data()[object.size() - 28] ^= std::byte{1}; // in the last frame's entry
    const auto damaged = fixture.put(Blob::copy_of(object.view()));
    CHECK(test::kind_of([&] { fixture.fetch(damaged, {"/base/1/6"}); }) == ErrorKind::corrupt);
}

TEST_CASE("a damaged frame is corrupt", "[backup]") {
    Fixture fixture;
    const auto key = fixture.stored().key;
    auto object = *run_blocking(fixture.archive.io, storage::get_whole(fixture.archive.storage, key, 64 << 20));
    object.data()[5000] ^= std::byte{1};
    const auto tar = fixture.put(Blob::copy_of(object.view()));
    CHECK(test::kind_of([&] { fixture.fetch(tar, {"/base/1/0"}); }) == ErrorKind::corrupt);
}

TEST_CASE("what is there already is not fetched", "[backup]") {
    Fixture fixture;
    const auto tar = fixture.stored();
    auto here = fixture.content;
    here.at("/base/1/4")[1'400'000] = static_cast<char>(here.at("/base/1/4")[1'400'000] ^ 1);
    here.at("/base/1/2").resize(100);
    std::set<std::string> all;
    for (const auto& [name, text] : fixture.content) all.insert(name);
    CHECK((fixture.fetch(tar, all, &here).files == fixture.content));
    // The file that is cut, the frame that differs, and a frame or two at the begin of each file.
    CHECK(fixture.fetched < here.at("/base/1/5").size() + 17 * (std::uint64_t{1} << 20));
    CHECK(fixture.fetched < tar.bytes * 3 / 4);
}

TEST_CASE("a fetch of which nothing is needed can be stopped all the same", "[backup]") {
    Fixture fixture;
    const auto tar = fixture.stored();
    Keeper keeper({});
    unsigned told = 0;
    const auto stop_it = [&told](std::size_t count) {
        if (count == 0 && ++told == 3) throw Error(ErrorKind::cancelled, "cancelled");
    };
    CHECK(test::kind_of([&] { fetch_from_tar(fixture.archive, tar, keeper, {}, stop_it); }) == ErrorKind::cancelled);
}

TEST_CASE("a small tar is fetched by one request", "[backup]") {
    Fixture fixture;
    fixture.content = {{"/base/1/0", noise(2'500'000, 1)}};
    const auto small = fixture.stored();
    CHECK((fixture.fetch(small, {"/base/1/0"}).files == fixture.content));
    CHECK(fixture.requests() == 1);
}

} // namespace walgd::backup
