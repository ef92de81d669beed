#include "common/base/log_line.hpp"

#include "common/base/request_scope.hpp"

#include <algorithm>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <spdlog/details/log_msg.h>

namespace walgd {

namespace {

std::string time_text(spdlog::log_clock::time_point time) {
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count() % 1000;
    return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(std::chrono::system_clock::to_time_t(time)), ms);
}

std::string_view level_text(spdlog::level::level_enum level) {
    const auto name = spdlog::level::to_string_view(level);
    return {name.data(), name.size()};
}

/// syslog(3)'s numbers.
int priority_of(spdlog::level::level_enum level) {
    switch (level) {
    case spdlog::level::critical:
    case spdlog::level::err:
        return 3;
    case spdlog::level::warn:
        return 4;
    case spdlog::level::info:
        return 6;
    default:
        return 7;
    }
}

/// A line is one line, whatever a file is called.
std::string without_control_characters(std::string_view text) {
    std::string out;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7F)
            out += fmt::format("\\x{:02x}", byte);
        else
            out += c;
    }
    return out;
}

/// From behind the opening quote of what in_quotes() wrote; `at` ends behind the closing one.
std::string unquoted(std::string_view line, std::size_t& at) {
    std::string text;
    while (at < line.size() && line[at] != '"') {
        if (line[at] != '\\' || at + 1 == line.size()) {
            text += line[at++];
            continue;
        }
        const char escaped = line[at + 1];
        at += 2;
        if (escaped == 'n')
            text += '\n';
        else if (escaped == 'r')
            text += '\r';
        else if (escaped == 't')
            text += '\t';
        else if (escaped == '"' || escaped == '\\')
            text += escaped;
        else
            (text += '\\') += escaped; // none that in_quotes() makes: as it stands
    }
    if (at < line.size()) ++at;
    return text;
}

/// Numbers and truth as such. What begins with a zero is a name, and so is what is too long to count something.
nlohmann::ordered_json value_of(const std::string& text) {
    if (text == "true" || text == "false") return text == "true";
    const bool digits =
        !text.empty() && text.size() <= 18 && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
    if (digits && (text.size() == 1 || text.front() != '0')) return std::stoull(text);
    return text;
}

class LineFormatter : public spdlog::formatter {
public:
    explicit LineFormatter(LineLook look) : look_(look) {}

    void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& out) override {
        const std::string_view payload(message.payload.data(), message.payload.size());
        auto line = look_.json ? json(message, payload) : text(message, payload);
        if (look_.journal) line.insert(0, fmt::format("<{}>", priority_of(message.level)));
        line += '\n';
        out.append(line.data(), line.data() + line.size());
    }
    std::unique_ptr<formatter> clone() const override { return std::make_unique<LineFormatter>(look_); }

private:
    std::string text(const spdlog::details::log_msg& message, std::string_view payload) const {
        auto line = look_.journal ? std::string() : time_text(message.time) + " ";
        line += fmt::format("{} {}", level_text(message.level), without_control_characters(payload));
        if (!current_request().empty()) line += " request=" + current_request();
        return line;
    }
    static std::string json(const spdlog::details::log_msg& message, std::string_view payload) {
        nlohmann::ordered_json line{{"time", time_text(message.time)}, {"level", level_text(message.level)}};
        for (const auto& [name, value] : fields_of_line(payload)) line.emplace(name, value_of(value));
        if (!current_request().empty()) line.emplace("request", current_request());
        return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
    }

    LineLook look_;
};

} // namespace

std::vector<std::pair<std::string, std::string>> fields_of_line(std::string_view line) {
    std::vector<std::pair<std::string, std::string>> fields;
    if (!line.starts_with("event=")) return {{"text", std::string(line)}};
    for (std::size_t at = 0; at < line.size();) {
        const auto end = std::min(line.find(' ', at), line.size());
        const auto equals = line.find('=', at);
        if (equals >= end) { // a value with spaces that nobody quoted goes on
            if (!fields.empty() && end > at) fields.back().second.append(" ").append(line.substr(at, end - at));
            at = end + 1;
            continue;
        }
        std::string name(line.substr(at, equals - at)), value;
        if (equals + 1 < line.size() && line[equals + 1] == '"') {
            at = equals + 2;
            value = unquoted(line, at);
            at += at < line.size() && line[at] == ' ' ? 1 : 0;
        } else {
            value = line.substr(equals + 1, end - equals - 1);
            at = end + 1;
        }
        fields.emplace_back(std::move(name), std::move(value));
    }
    return fields;
}

std::unique_ptr<spdlog::formatter> line_formatter(LineLook look) { return std::make_unique<LineFormatter>(look); }

} // namespace walgd
