#pragma once
#include <functional>
#include <ostream>
#include <string>
#include <string_view>

namespace walgd::config {

/// The lines of `walgd --check`: runs one check after the other, and says for each what it found.
class Checks {
public:
    explicit Checks(std::ostream& out) : out_(out) {}

    /// `check` returns what it found; an Error that it throws is a failure. True: it went well.
    bool run(std::string_view what, const std::function<std::string()>& check);
    /// Not as it should be, but not for us to refuse.
    void warn(std::string_view what, std::string_view text);
    bool failed() const { return failed_; }

private:
    std::ostream& out_;
    bool failed_ = false;
};

} // namespace walgd::config
