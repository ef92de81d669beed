#pragma once
#include "common/base/time_text.hpp"
#include "common/pg/lsn.hpp"

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace walgd::pgbackrest {

/// Typed looks at one JSON value of an info file or a manifest. What has another type or range than it must have is an
/// Error(corrupt) that names the object and the entry.
class Fields {
public:
    /// Both must outlive it.
    Fields(const nlohmann::json& value, const std::string& object, std::string_view entry)
        : value_(value), object_(object), entry_(entry) {}

    /// The value itself.
    std::string text() const;
    std::uint64_t number() const;
    Time time() const;
    pg::Lsn lsn() const;
    unsigned mode() const; ///< "0600"
    bool is_true() const;

    /// A member of the value, which is an object; nothing if there is none of that name, or it is null.
    std::optional<std::string> text(std::string_view name) const;
    std::optional<std::uint64_t> number(std::string_view name) const;
    std::optional<Time> time(std::string_view name) const;
    std::optional<pg::Lsn> lsn(std::string_view name) const;
    std::optional<unsigned> mode(std::string_view name) const;
    bool is_true(std::string_view name) const;
    bool is_false(std::string_view name) const; ///< absent is neither

    [[noreturn]] void refuse(std::string_view why) const;

private:
    const nlohmann::json* member(std::string_view name) const;

    const nlohmann::json& value_;
    const std::string& object_;
    std::string_view entry_;
};

} // namespace walgd::pgbackrest
