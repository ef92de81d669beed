#include "common/base/naming.hpp"

#include <catch2/catch.hpp>

namespace walgd {

TEST_CASE("an error that does not name its object gets to, and keeps kind and hint", "[base]") {
    const Error error(ErrorKind::corrupt, "the frame is cut", "read another one");
    const auto known = named(error, "wal_005/x.lz4");
    CHECK(std::string(known.what()) == "wal_005/x.lz4: the frame is cut");
    CHECK(known.kind() == ErrorKind::corrupt);
    CHECK(known.hint() == "read another one");
    CHECK(std::string(named(known, "wal_005/x.lz4").what()) == known.what());
}

TEST_CASE("work that is done under a name gives its result, or an error with the name", "[base]") {
    CHECK(naming("x", [] { return 3; }) == 3);
    CHECK_THROWS_WITH(naming("x", [] { throw Error(ErrorKind::failed, "no room"); }), "x: no room");
}

} // namespace walgd
