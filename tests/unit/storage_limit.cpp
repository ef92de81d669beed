#include "common/storage/file/file_storage.hpp"
#include "common/storage/limit/limited_storage.hpp"
#include "tests/unit/async_support.hpp"
#include "tests/unit/stopped_clock.hpp"

#include <string>

using namespace walgd;
using namespace std::chrono_literals;

TEST_CASE("a rate makes wait who takes more than it gives, all takers together", "[base]") {
    const test::StoppedClock clock;
    RateLimit rate(100);
    CHECK(rate.take(100) == 0s); // of the second before
    CHECK(rate.take(50) == 500ms);
    CHECK(rate.take(100) == 1500ms);
    Clock::wind(1s);
    CHECK(rate.take(0) == 500ms);
    Clock::wind(1h);
    CHECK(rate.take(100) == 0s); // an hour of nothing gives one second's worth
    CHECK(rate.take(300) == 3s);
}

TEST_CASE("what is put into a limited storage and read from it is taken of its rate, questions are not", "[storage]") {
    const test::StoppedClock clock;
    const test::TemporaryFolder folder;
    test::Loop loop;
    const auto inner = storage::make_file_storage(folder.path(), loop.executor());
    RateLimit rate(1000);
    const auto limited = storage::make_limited_storage(*inner, [&](const storage::ObjectKey&) -> RateLimit& { return rate; });
    const storage::ObjectKey key("wal_005/one");
    const std::string body(300, 'x');

    CHECK(loop.run(limited->put(key, bytes_of(body), {})) == storage::PutOutcome::stored);
    CHECK(loop.run(limited->head(key))->bytes == 300);
    CHECK(loop.run(limited->list("wal_005/", {})).objects.size() == 1);
    const auto reader = loop.run(limited->get(key, {}));
    REQUIRE(reader != nullptr);
    Blob into(1000);
    CHECK(loop.run(reader->read(into.room())) == 300);
    const auto upload = loop.run(limited->start_upload(storage::ObjectKey("wal_005/two"), {}));
    loop.run(upload->put_piece(1, 0, bytes_of(body)));
    CHECK(loop.run(upload->complete()) == storage::PutOutcome::stored);

    CHECK(rate.take(1100) == 1s); // 900 of the 1000 that one second gives were gone
}
