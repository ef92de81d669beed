#include "common/base/error.hpp"
#include "common/base/files.hpp"

#include <catch2/catch.hpp>
#include <cstdlib>

using namespace walgd;

namespace {

/// TMPDIR as a test wants it, and as it was afterwards.
class TemporaryFolder {
public:
    explicit TemporaryFolder(const char* folder) : before_(std::getenv("TMPDIR") ? std::getenv("TMPDIR") : "") {
        ::setenv("TMPDIR", folder, 1);
    }
    ~TemporaryFolder() {
        if (before_.empty())
            ::unsetenv("TMPDIR");
        else
            ::setenv("TMPDIR", before_.c_str(), 1);
    }

private:
    std::string before_;
};

} // namespace

TEST_CASE("a temporary file lies where TMPDIR says, and one that cannot be made says what to do", "[base]") {
    CHECK(unnamed_file());
    const TemporaryFolder read_only("/proc");
    try {
        unnamed_file();
        FAIL("a file in /proc");
    } catch (const Error& error) {
        CHECK(std::string(error.what()).find("a temporary file in /proc") != std::string::npos);
        CHECK(error.hint().find("TMPDIR") != std::string::npos);
    }
}
