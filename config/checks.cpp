#include "config/checks.hpp"

#include "common/base/error.hpp"

#include <fmt/format.h>

namespace walgd::config {

bool Checks::run(std::string_view what, const std::function<std::string()>& check) {
    try {
        out_ << fmt::format("{:<28} ok: {}\n", what, check());
        return true;
    } catch (const std::exception&) {
        const auto error = as_error(std::current_exception());
        failed_ = true;
        out_ << fmt::format("{:<28} FAILED: {}\n", what, error.what());
        if (!error.hint().empty()) out_ << fmt::format("{:<28} HINT: {}\n", "", error.hint());
        return false;
    }
}

void Checks::warn(std::string_view what, std::string_view text) { out_ << fmt::format("{:<28} WARNING: {}\n", what, text); }

} // namespace walgd::config
