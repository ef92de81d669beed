#include "common/base/blob_pool.hpp"

#include <catch2/catch.hpp>
#include <utility>

using namespace walgd;

TEST_CASE("a kept buffer is the next one that it is large enough for", "[base]") {
    BlobPool pool(2);
    auto blob = pool.take(100);
    CHECK(blob.empty());
    REQUIRE(blob.capacity() >= 100);
    blob.commit(50);
    const auto* const place = blob.data();
    pool.keep(std::move(blob));

    const auto larger = pool.take(1000);
    CHECK(larger.data() != place);
    const auto again = pool.take(80);
    CHECK(again.data() == place);
    CHECK(again.empty());
}

TEST_CASE("a pool of buffers keeps no more than its share, and none after a rest", "[base]") {
    BlobPool pool(1);
    pool.keep(Blob(1000));
    pool.keep(Blob(2000)); // one too many
    CHECK(pool.take(10).capacity() == 1000);
    CHECK(pool.take(10).capacity() == 10);

    pool.keep(Blob(1000));
    pool.rest();
    CHECK(pool.take(10).capacity() == 10);
}
