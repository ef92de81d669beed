#pragma once
#include "common/base/sha1.hpp"

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace walgd::pgbackrest {

/// Reads pgBackRest's info and manifest files (its src/info/info.c and src/common/ini.c), in any cut of the bytes; memory is one
/// line's:
///
///     [section]
///     key=<JSON>                  the key ends at the first '=' that is followed by JSON to the end of the line
///     ...
///     [backrest]
///     backrest-format=5
///     backrest-checksum="..."     SHA-1 of {"section":{"key":<JSON>,...},...}, without this entry
///
/// Error(corrupt), naming `object`, when it is none, or its checksum is not the announced one; Error(misconfigured) when it is
/// encrypted or of another format.
class IniReader {
public:
    using TakeEntry = std::function<void(std::string_view section, std::string_view key, const nlohmann::json& value)>;
    /// What `take_entry` was told counts only when finish() has returned.
    IniReader(TakeEntry take_entry, std::string object);

    void write(std::string_view text);
    void finish();

private:
    void take_line(std::string_view line);
    void take_section(std::string_view line);
    void take_value(std::string_view key, std::string_view text, const nlohmann::json& value);
    void hash_entry(std::string_view key, std::string_view text);
    void refuse_encrypted() const;
    [[noreturn]] void refuse(std::string_view why) const;

    TakeEntry take_entry_;
    std::string object_;
    std::string rest_; ///< of a line whose end has not come
    std::string section_, hashed_section_;
    std::string canonical_; ///< text that is not hashed yet
    Sha1 hash_;
    std::optional<Sha1Digest> announced_;
    std::uint64_t line_number_ = 0;
    bool any_section_ = false, any_entry_ = false, format_known_ = false, at_start_ = true;
};

} // namespace walgd::pgbackrest
