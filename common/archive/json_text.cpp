#include "common/archive/json_text.hpp"

#include "common/base/bytes.hpp"
#include "common/base/error.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fmt/format.h>

namespace walgd::archive {

std::string json_string(std::string_view text) {
    // nlohmann escapes what JSON demands; Go escapes what HTML would mind, too.
    const auto plain = nlohmann::json(std::string(text)).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    std::string out;
    out.reserve(plain.size());
    for (std::size_t index = 0; index < plain.size(); ++index) {
        const auto rest = std::string_view(plain).substr(index);
        if (plain[index] == '<')
            out += "\\u003c";
        else if (plain[index] == '>')
            out += "\\u003e";
        else if (plain[index] == '&')
            out += "\\u0026";
        else if (rest.starts_with("\xE2\x80\xA8") || rest.starts_with("\xE2\x80\xA9")) {
            out += rest[2] == '\xA8' ? "\\u2028" : "\\u2029";
            index += 2;
        } else
            out += plain[index];
    }
    return out;
}

std::string through_json(std::string_view text) {
    if (std::ranges::all_of(text, [](unsigned char c) { return c < 0x80; })) return std::string(text);
    const auto json = nlohmann::json(std::string(text)).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    return nlohmann::json::parse(json).get<std::string>();
}

namespace {

/// "-1.2345e+08" as "-123450000": the shortest digits, where std::chars_format::fixed gives all that the double has.
std::string without_exponent(const std::string& scientific) {
    const auto mark = scientific.find('e');
    auto digits = scientific.substr(0, mark);
    auto exponent = static_cast<std::size_t>(std::stoi(scientific.substr(mark + 1)));
    const auto point = digits.find('.');
    const auto decimals = point == std::string::npos ? 0 : digits.size() - point - 1;
    if (point != std::string::npos) digits.erase(point, 1);
    if (decimals > exponent)
        digits.insert(digits.size() - (decimals - exponent), ".");
    else
        digits += std::string(exponent - decimals, '0');
    return digits;
}

/// The shortest text that reads back as the same double; exponents as Go writes them from 1e21 on and below 1e-6.
std::string go_number(double number) {
    char buffer[400];
    const auto magnitude = std::fabs(number);
    const bool scientific = magnitude != 0 && (magnitude < 1e-6 || magnitude >= 1e21);
    const bool large = magnitude >= 1e15 && magnitude < 1e21;
    const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, number,
                                            scientific || large ? std::chars_format::scientific : std::chars_format::fixed);
    std::string text(buffer, end);
    if (large) return without_exponent(text);
    if (const auto zero = text.find("e-0"); zero != std::string::npos) text.erase(zero + 2, 1);
    return text;
}

} // namespace

std::string json_value(const nlohmann::json& value) {
    if (value.is_string()) return json_string(value.get_ref<const std::string&>());
    if (value.is_number()) return go_number(value.get<double>());
    if (value.is_array()) {
        std::string text = "[";
        for (const auto& item : value) text += (text.size() > 1 ? "," : "") + json_value(item);
        return text + "]";
    }
    if (value.is_object()) {
        std::string text = "{";
        for (const auto& [key, item] : value.items())
            text += (text.size() > 1 ? "," : "") + json_string(key) + ":" + json_value(item);
        return text + "}";
    }
    return value.dump();
}

bool too_deep(std::string_view json) {
    constexpr int depth_max = 1000;
    int depth = 0;
    bool in_text = false;
    for (std::size_t index = 0; index < json.size() && depth <= depth_max; ++index) {
        const char c = json[index];
        if (c == '"') in_text = !in_text;
        if (in_text && c == '\\') ++index; // a quote may follow
        if (in_text) continue;
        if (c == '[' || c == '{') ++depth;
        if (c == ']' || c == '}') --depth;
    }
    return depth > depth_max;
}

std::string json_complaint(const nlohmann::json::exception& error) {
    const std::string_view text = error.what(); // "[json.exception.parse_error.101] parse error at ..."
    const auto end = text.starts_with('[') ? text.find("] ") : std::string_view::npos;
    return std::string(end == std::string_view::npos ? text : text.substr(end + 2));
}

nlohmann::json parse_object(std::string_view text, const std::string& object) {
    if (too_deep(text))
        throw Error(ErrorKind::corrupt, fmt::format("{} has values in each other, too deep for any use", object),
                    "the object is damaged, or was put there to do harm");
    nlohmann::json document;
    try {
        document = nlohmann::json::parse(text);
    } catch (const nlohmann::json::exception& error) {
        throw Error(ErrorKind::corrupt, fmt::format("{} is not JSON: {}", object, json_complaint(error)),
                    "the object is damaged; other backups are not touched by that");
    }
    if (!document.is_object()) throw Error(ErrorKind::corrupt, fmt::format("{} is not a JSON object", object));
    auto lowered = nlohmann::json::object();
    for (auto& [key, value] : document.items()) {
        const auto name = lower_case(key);
        // An exact spelling wins over another one of the same name.
        if (!lowered.contains(name) || key != name) lowered[name] = std::move(value);
    }
    return lowered;
}

} // namespace walgd::archive
