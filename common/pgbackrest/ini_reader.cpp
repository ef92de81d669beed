#include "common/pgbackrest/ini_reader.hpp"

#include "common/base/error.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace walgd::pgbackrest {

namespace {

/// The longest there is: the damaged pages of one file, up to 131,072 numbers.
constexpr std::size_t line_bytes_max = 4 << 20;
/// All releases from 2.00 on write this one.
constexpr int format = 5;
/// How OpenSSL begins what it encrypts with a passphrase.
constexpr std::string_view encrypted_mark = "Salted__";

/// As pgBackRest quotes it: UTF-8 stays as it is.
std::string plain_json(std::string_view text) {
    return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

} // namespace

IniReader::IniReader(TakeEntry take_entry, std::string object) : take_entry_(std::move(take_entry)), object_(std::move(object)) {}

void IniReader::refuse(std::string_view why) const {
    throw Error(ErrorKind::corrupt, fmt::format("{} line {}: {}", object_, line_number_, why),
                "is it damaged, or not of pgBackRest? `pgbackrest verify` looks at the whole repository");
}

void IniReader::refuse_encrypted() const {
    if (rest_.starts_with(encrypted_mark))
        throw Error(ErrorKind::misconfigured,
                    fmt::format("{} is encrypted: repositories with repo-cipher-type are not read", object_),
                    "restore from this repository with pgBackRest itself");
}

void IniReader::write(std::string_view text) {
    while (!text.empty()) {
        const auto end = text.find('\n');
        rest_ += text.substr(0, end);
        if (rest_.size() > line_bytes_max) refuse(fmt::format("is longer than {} bytes", line_bytes_max));
        if (at_start_ && (rest_.size() >= encrypted_mark.size() || end != std::string_view::npos)) {
            refuse_encrypted();
            at_start_ = false;
        }
        if (end == std::string_view::npos) return;
        ++line_number_;
        take_line(rest_);
        rest_.clear();
        text.remove_prefix(end + 1);
    }
}

void IniReader::take_line(std::string_view line) {
    if (line.empty()) return;
    if (line.front() == '[' && line.back() == ']') return take_section(line);
    if (!any_section_) refuse("stands before the first section");
    for (auto equals = line.find('='); equals != std::string_view::npos; equals = line.find('=', equals + 1)) {
        const auto text = line.substr(equals + 1);
        const auto value = nlohmann::json::parse(text, nullptr, false);
        if (!value.is_discarded()) return take_value(line.substr(0, equals), text, value);
    }
    refuse("is neither a section nor a key with a value in JSON");
}

void IniReader::take_section(std::string_view line) {
    section_ = line.substr(1, line.size() - 2);
    any_section_ = true;
}

void IniReader::take_value(std::string_view key, std::string_view text, const nlohmann::json& value) {
    if (key.empty()) refuse("has no key");
    const bool own = section_ == "backrest";
    if (own && key == "backrest-checksum") {
        if (value.is_string()) announced_ = parse_sha1(value.get_ref<const std::string&>());
        if (!announced_) refuse("has no SHA-1 as the checksum");
        return;
    }
    if (own && key == "backrest-format") {
        if (value != format)
            throw Error(ErrorKind::misconfigured,
                        fmt::format("{} has pgBackRest's format {}, and only {} is known here", object_, text, format),
                        "read this repository with the pgBackRest that wrote it");
        format_known_ = true;
    }
    hash_entry(key, text);
    take_entry_(section_, key, value);
}

void IniReader::hash_entry(std::string_view key, std::string_view text) {
    canonical_.clear();
    if (!any_entry_ || hashed_section_ != section_) {
        canonical_ += (any_entry_ ? "}," : "{") + plain_json(section_) + ":{";
        hashed_section_ = section_;
    } else {
        canonical_ += ",";
    }
    any_entry_ = true;
    canonical_ += plain_json(key) + ":";
    canonical_ += text;
    hash_.update(bytes_of(canonical_));
}

void IniReader::finish() {
    refuse_encrypted();
    if (!rest_.empty()) refuse("the file ends within a line");
    if (!format_known_ || !announced_) refuse("the file ends before backrest-format and backrest-checksum");
    hash_.update(bytes_of("}}"));
    if (hash_.digest() != *announced_) refuse("the content is not what backrest-checksum is of");
}

} // namespace walgd::pgbackrest
