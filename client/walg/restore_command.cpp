#include "client/walg/restore_command.hpp"

#include <filesystem>
#include <fmt/format.h>
#include <unistd.h>

namespace walgd::cli {

namespace fs = std::filesystem;

namespace {

/// As a shell and PostgreSQL's %-replacement read it.
std::string shell_quoted(const std::string& text) {
    std::string result = "'";
    for (const auto c : text) {
        if (c == '%') result += '%';
        if (c == '\'')
            result += "'\\''";
        else
            result += c;
    }
    return result + "'";
}

} // namespace

std::string restore_command_for(const Context& context) {
    std::error_code error;
    const auto beside = fs::read_symlink("/proc/self/exe", error).parent_path() / "walg-fetch";
    const auto program =
        !error && ::access(beside.c_str(), X_OK) == 0 ? shell_quoted(beside.string()) : std::string("walg-fetch");
    const auto file = context.config_file.empty()
                          ? std::string()
                          : fmt::format("WALG_CONFIG_PATH={} ", shell_quoted(fs::absolute(context.config_file).string()));
    return fmt::format("{}{} \"%f\" \"%p\"", file, program);
}

} // namespace walgd::cli
