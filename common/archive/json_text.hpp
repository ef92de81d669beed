#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace walgd::archive {

/// A JSON string as Go's encoder writes it: quotes, with < > & and the line separators escaped too.
std::string json_string(std::string_view text);

/// What is read of the JSON string written of `text`: in the place of bytes that are no UTF-8 it has U+FFFD.
std::string through_json(std::string_view text);

/// A JSON value as Go's encoder writes a decoded one: keys sorted, numbers through a double.
std::string json_value(const nlohmann::json& value);

/// The document at `object`; keys of its top level in lower case (WAL-G matches keys in any case). Error(corrupt) when it is not
/// one JSON object.
nlohmann::json parse_object(std::string_view text, const std::string& object);

} // namespace walgd::archive
