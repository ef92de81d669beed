// Texts that a person or a program writes a line at a time: files of NAME=VALUE, the archive's URL, log lines as JSON makes them.
#include "common/base/error.hpp"
#include "common/base/in_quotes.hpp"
#include "common/base/log_line.hpp"
#include "common/codec/openpgp_packets.hpp"
#include "config/archive_url.hpp"
#include "config/env_file.hpp"

#include <cstdlib>
#include <fmt/format.h>

using namespace walgd;

namespace {

void require(bool holds) {
    if (!holds) std::abort();
}

void read_env_file(std::string_view text) {
    try {
        for (const auto& line : config::parse_env_file(text, "file").value_or(std::vector<config::EnvLine>())) {
            require(!line.name.empty() && line.line > 0);
            require(line.value.size() <= text.size());
        }
    } catch (const Error& error) {
        require(error.kind() == ErrorKind::misconfigured);
    }
}

/// What a log call quotes comes back as it was, whatever is in it.
void read_log_line(std::string_view text) {
    for (const auto& [name, value] : fields_of_line(text)) require(name.size() + value.size() <= text.size() + 4);
    const auto fields = fields_of_line(fmt::format("event=x error={} ms=3", in_quotes(text)));
    require(fields.size() == 3 && fields[1].first == "error" && fields[1].second == text && fields[2].second == "3");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    read_env_file(text);
    read_log_line(text);
    codec::looks_encrypted(bytes_of(text));
    if (const auto url = config::parse_archive_url(text)) require(url->prefix.starts_with("s3://") && !url->secret_key.empty());
    return 0;
}
