#pragma once
// What every storage, and every decorator of one, keeps to. Whoever includes this defines CONTRACT_BACKENDS: types with a
// `storage()` that is empty at first, and a `loop` that runs its coroutines.
#include "common/storage/storage.hpp"
#include "tests/unit/async_support.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <fmt/format.h>
#include <random>

namespace walgd::test {

using storage::ObjectKey;
using storage::PutOutcome;

inline constexpr std::size_t least_piece = 5 << 20;

/// So many bytes that do not compress, the same for the same seed.
inline Blob noise(std::size_t count, unsigned seed = 1) {
    std::minstd_rand dice(seed);
    Blob blob(count);
    for (auto& byte : blob.room()) byte = static_cast<std::byte>(dice() >> 8);
    blob.commit(count);
    return blob;
}

/// A storage spoken to synchronously.
template <class Backend> class Spoken {
public:
    PutOutcome put(const std::string& key, ByteView body, bool if_absent = false) {
        storage::PutOptions options;
        options.if_absent = if_absent;
        return run(storage().put(ObjectKey(key), body, options));
    }
    PutOutcome put(const std::string& key, std::string_view body, bool if_absent = false) {
        return put(key, bytes_of(body), if_absent);
    }
    std::optional<std::string> get(const std::string& key, storage::ByteRange range = {}, std::size_t piece = 1 << 20) {
        return run(read(ObjectKey(key), range, piece));
    }
    auto head(const std::string& key) { return run(storage().head(ObjectKey(key))); }
    auto list(const std::string& folder, bool recursive) { return run(storage::list_all(storage(), folder, recursive)); }
    std::vector<std::string> keys(const std::string& folder) {
        std::vector<std::string> keys;
        for (const auto& object : list(folder, true).objects) keys.push_back(object.key.path());
        return keys;
    }
    auto remove(const std::vector<std::string>& names) {
        std::vector<ObjectKey> keys;
        for (const auto& name : names) keys.emplace_back(name);
        return run(storage().remove(keys));
    }
    auto copy(const std::string& from, const std::string& to) { return run(storage().copy(ObjectKey(from), ObjectKey(to))); }
    auto start_upload(const std::string& key, bool if_absent) {
        storage::PutOptions options;
        options.if_absent = if_absent;
        return run(storage().start_upload(ObjectKey(key), options));
    }
    template <class T> T run(awaitable<T> task) { return backend_.loop.run(std::move(task)); }
    storage::Storage& storage() { return backend_.storage(); }

private:
    awaitable<std::optional<std::string>> read(ObjectKey key, storage::ByteRange range, std::size_t piece) {
        const auto reader = co_await storage().get(key, range);
        if (!reader) co_return std::nullopt;
        std::string text;
        Blob chunk(piece);
        for (;;) {
            const auto count = co_await reader->read({chunk.data(), piece});
            text += text_of({chunk.data(), count});
            if (count < piece) co_return text;
        }
    }
    Backend backend_;
};

TEMPLATE_TEST_CASE("an absent object is an answer, not an error", "[storage]", CONTRACT_BACKENDS) {
    Spoken<TestType> there;
    CHECK_FALSE(there.get("wal_005/none").has_value());
    CHECK_FALSE(there.head("wal_005/none").has_value());
    CHECK(there.remove({"wal_005/none"}).empty());
    CHECK(there.list("wal_005/", false).objects.empty());
    CHECK(there.list("", true).objects.empty());
}

TEMPLATE_TEST_CASE("what was put comes back, of any size and read in any pieces", "[storage]", CONTRACT_BACKENDS) {
    Spoken<TestType> there;
    for (const std::size_t size : {0UL, 1UL, 8191UL, 1UL << 20}) {
        const auto body = noise(size);
        const auto key = fmt::format("wal_005/size{}", size);
        CHECK(there.put(key, body.view()) == PutOutcome::stored);
        CHECK(there.head(key)->bytes == size);
        for (const std::size_t piece : {std::size_t{4096}, std::size_t{65537}, std::size_t{2 << 20}})
            CHECK((there.get(key, {}, piece) == std::string(text_of(body.view()))));
    }
}

TEMPLATE_TEST_CASE("put if absent never replaces; put without it does", "[storage]", CONTRACT_BACKENDS) {
    Spoken<TestType> there;
    CHECK(there.put("a/b", "first", true) == PutOutcome::stored);
    CHECK(there.put("a/b", "other", true) == PutOutcome::exists);
    CHECK(there.put("a/b", "first", true) == PutOutcome::exists);
    CHECK(there.get("a/b") == "first");
    CHECK(there.put("a/b", "second") == PutOutcome::stored);
    CHECK(there.get("a/b") == "second");
}

TEMPLATE_TEST_CASE("a copy has all of its source, replaces, and there is none of nothing", "[storage]", CONTRACT_BACKENDS) {
    Spoken<TestType> there;
    const std::string from = "basebackups_005/base_000000010000000000000002/tar_partitions/part_001.tar",
                      to = "basebackups_005/base_000000010000000000000004/tar_partitions/copy_0.tar";
    const auto body = noise(3 << 20);
    there.put(from, body.view());
    if (std::getenv("WALGD_TEST_S3_CANNOT_COPY") != nullptr) {
        CHECK(there.copy(from, to) == storage::CopyOutcome::unable);
        CHECK_FALSE(there.head(to));
        return;
    }
    CHECK(there.copy(from, to) == storage::CopyOutcome::copied);
    CHECK((there.get(to) == std::string(text_of(body.view()))));
    CHECK((there.get(from) == std::string(text_of(body.view()))));
    there.put(from, "second");
    CHECK(there.copy(from, to) == storage::CopyOutcome::copied);
    CHECK(there.get(to) == "second");
    CHECK(there.head(to)->bytes == 6);
    CHECK(there.remove({from}).empty());
    CHECK(there.get(to) == "second");
    CHECK(there.copy(from, to) == storage::CopyOutcome::absent);
    CHECK(there.get(to) == "second");
}

TEMPLATE_TEST_CASE("a range is read as asked for, and one past the end is an error", "[storage]", CONTRACT_BACKENDS) {
    Spoken<TestType> there;
    there.put("x", "0123456789");
    CHECK(there.get("x", {.offset = 3, .length = 4}) == "3456");
    CHECK(there.get("x", {.offset = 7, .length = std::nullopt}) == "789");
    CHECK(there.get("x", {.offset = 8, .length = 100}) == "89");
    CHECK(kind_of([&] { there.get("x", {.offset = 11, .length = 1}); }) == ErrorKind::corrupt);
}

TEMPLATE_TEST_CASE("a listing has objects and folders, sorted, in as many pages as it takes", "[storage]", CONTRACT_BACKENDS) {
    Spoken<TestType> there;
    for (const auto* key :
         {"wal_005/2.zst", "wal_005/1.zst", "basebackups_005/b/tar_partitions/part_001.tar", "basebackups_005/b_sentinel.json"})
        there.put(key, "x");
    const auto flat = there.list("basebackups_005/", false);
    REQUIRE(flat.objects.size() == 1);
    CHECK(flat.objects[0].key.path() == "basebackups_005/b_sentinel.json");
    CHECK(flat.objects[0].bytes == 1);
    const auto age = std::chrono::system_clock::now() - flat.objects[0].modified;
    CHECK(age < std::chrono::hours(1));
    CHECK(age > -std::chrono::hours(1));
    CHECK(flat.folders == std::vector<std::string>{"basebackups_005/b/"});
    CHECK(there.keys("wal_005/") == std::vector<std::string>{"wal_005/1.zst", "wal_005/2.zst"});
    CHECK(there.keys("").size() == 4);

    std::vector<std::string> many;
    for (int number = 0; number < 1003; ++number) many.push_back(fmt::format("many/{:05}", number));
    for (const auto& key : many) there.put(key, "");
    CHECK(there.keys("many/") == many);
    CHECK(there.list("many/", false).objects.size() == many.size());
    CHECK(there.remove(many).empty());
    CHECK(there.keys("many/").empty());
}

TEMPLATE_TEST_CASE("a listing by the beginning of names has these and no others", "[storage]", CONTRACT_BACKENDS) {
    Spoken<TestType> there;
    for (const auto* key : {"wal_005/01.zst", "wal_005/01.lz4", "wal_005/02.zst", "wal_005/010/deep", "wal_005/0/deep", "01.zst"})
        there.put(key, "x");
    const auto names = [&](const std::string& prefix, bool recursive) {
        storage::ListOptions options;
        options.recursive = recursive;
        options.name_prefix = prefix;
        const auto page = there.run(there.storage().list("wal_005/", options));
        std::vector<std::string> found;
        for (const auto& object : page.objects) found.push_back(object.key.path());
        found.insert(found.end(), page.folders.begin(), page.folders.end());
        return found;
    };
    CHECK(names("01", false) == std::vector<std::string>{"wal_005/01.lz4", "wal_005/01.zst", "wal_005/010/"});
    CHECK(names("01.", false) == std::vector<std::string>{"wal_005/01.lz4", "wal_005/01.zst"});
    CHECK(names("01", true) == std::vector<std::string>{"wal_005/01.lz4", "wal_005/01.zst", "wal_005/010/deep"});
    CHECK(names("03", false).empty());
}

TEMPLATE_TEST_CASE("a listing can begin after a name, which need not be there", "[storage]", CONTRACT_BACKENDS) {
    Spoken<TestType> there;
    for (const auto* key : {"wal_005/01.zst", "wal_005/02.zst", "wal_005/04/deep", "wal_005/05.zst", "zzz"}) there.put(key, "x");
    const auto names = [&](const std::string& after) {
        storage::ListOptions options;
        options.after = after;
        const auto page = there.run(there.storage().list("wal_005/", options));
        std::vector<std::string> found;
        for (const auto& object : page.objects) found.push_back(object.key.path());
        found.insert(found.end(), page.folders.begin(), page.folders.end());
        return found;
    };
    CHECK(names("01.zst") == std::vector<std::string>{"wal_005/02.zst", "wal_005/05.zst", "wal_005/04/"});
    CHECK(names("03") == std::vector<std::string>{"wal_005/05.zst", "wal_005/04/"});
    CHECK(names("05.zst").empty());
}

TEMPLATE_TEST_CASE("any name is a name", "[storage]", CONTRACT_BACKENDS) {
    Spoken<TestType> there;
    const std::vector<std::string> names{"n/a b", "n/a%20b", "n/a+b", "n/a&b=c?d#e", "n/<ü>'\"", "n/~x_y-z.(1)"};
    for (const auto& name : names) there.put(name, name);
    for (const auto& name : names) CHECK(there.get(name) == name);
    auto sorted = names;
    std::ranges::sort(sorted);
    CHECK(there.keys("n/") == sorted);
    CHECK(there.remove(names).empty());
    CHECK(there.keys("").empty());
}

TEMPLATE_TEST_CASE("an upload shows nothing before its end, then all of it", "[storage]", CONTRACT_BACKENDS) {
    Spoken<TestType> there;
    const auto body = noise(2 * least_piece + 1234);
    const auto upload = there.start_upload("big/object", true);
    const auto piece = [&](int number) {
        const auto offset = static_cast<std::size_t>(number - 1) * least_piece;
        const auto bytes = body.view().subspan(offset, std::min(least_piece, body.size() - offset));
        return upload->put_piece(number, offset, bytes);
    };
    auto all = [&]() -> awaitable<void> {
        TaskGroup group(co_await asio::this_coro::executor, [](std::exception_ptr failure) { FAIL(describe(failure)); });
        for (const int number : {3, 1, 2}) group.spawn(piece(number));
        co_await group.join();
    };
    there.run(all());
    CHECK_FALSE(there.head("big/object").has_value());
    CHECK(there.keys("big/").empty());
    CHECK(there.run(upload->complete()) == PutOutcome::stored);
    CHECK((there.get("big/object") == std::string(text_of(body.view()))));
}

TEMPLATE_TEST_CASE("an upload that is aborted, or let go, leaves nothing to see", "[storage]", CONTRACT_BACKENDS) {
    Spoken<TestType> there;
    const auto body = noise(least_piece);
    {
        const auto upload = there.start_upload("big/aborted", false);
        there.run(upload->put_piece(1, 0, body.view()));
        there.run(upload->abort());
    }
    {
        const auto upload = there.start_upload("big/let-go", false);
        there.run(upload->put_piece(1, 0, body.view()));
    }
    there.run(there.storage().remove_stale_uploads("big/", std::chrono::seconds(0)));
    CHECK(there.keys("").empty());
    CHECK_FALSE(there.get("big/aborted").has_value());
    CHECK_FALSE(there.get("big/let-go").has_value());
}

TEMPLATE_TEST_CASE("an upload if absent does not replace what came meanwhile", "[storage]", CONTRACT_BACKENDS) {
    Spoken<TestType> there;
    const auto body = noise(least_piece);
    const auto upload = there.start_upload("big/object", true);
    there.run(upload->put_piece(1, 0, body.view()));
    there.put("big/object", "came first");
    CHECK(there.run(upload->complete()) == PutOutcome::exists);
    CHECK(there.get("big/object") == "came first");
}

TEMPLATE_TEST_CASE("removing takes what is there and minds nothing that is not", "[storage]", CONTRACT_BACKENDS) {
    Spoken<TestType> there;
    there.put("r/1", "x");
    there.put("r/2", "x");
    there.put("r/3", "x");
    CHECK(there.remove({"r/1", "r/none", "r/3"}).empty());
    CHECK(there.keys("") == std::vector<std::string>{"r/2"});
}

} // namespace walgd::test
