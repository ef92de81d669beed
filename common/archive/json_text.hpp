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

/// What is wrong with a text that is no JSON, for people: without the library's name for it.
std::string json_complaint(const nlohmann::json::exception& error);

/// Whether values lie in each other deeper than in any document: what walks through a value goes as deep as it does, and would
/// come to the end of the stack. To be asked before the text is parsed.
bool too_deep(std::string_view json);

/// The document at `object`; keys of its top level in lower case (WAL-G matches keys in any case). Error(corrupt) when it is not
/// one JSON object.
nlohmann::json parse_object(std::string_view text, const std::string& object);

} // namespace walgd::archive
