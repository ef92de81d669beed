#include "daemon/schedule/task_record.hpp"

#include "common/base/time_text.hpp"

#include <limits>
#include <nlohmann/json.hpp>

namespace walgd::daemon {

namespace {

using Json = nlohmann::ordered_json;

std::optional<std::string> text_in(const Json& json, const char* name) {
    const auto found = json.find(name);
    return found != json.end() && found->is_string() ? std::optional(found->get<std::string>()) : std::nullopt;
}

std::optional<Calendar::Time> time_in(const Json& json, const char* name) {
    const auto time = parse_time(text_in(json, name).value_or(""));
    return time ? std::optional(std::chrono::floor<std::chrono::seconds>(*time)) : std::nullopt;
}

std::optional<unsigned> count_in(const Json& json, const char* name) {
    const auto found = json.find(name);
    if (found == json.end() || !found->is_number_unsigned()) return std::nullopt;
    const auto count = found->get<std::uint64_t>();
    return count <= std::numeric_limits<unsigned>::max() ? std::optional(static_cast<unsigned>(count)) : std::nullopt;
}

} // namespace

std::string_view name_of(Task task) {
    switch (task) {
    case Task::full:
        return "full";
    case Task::delta:
        return "delta";
    case Task::verify:
        return "verify";
    case Task::retention:
        return "retention";
    }
    return "";
}

std::string kept_text(std::string text) {
    constexpr std::size_t bytes_max = 2000;
    constexpr std::string_view cut = " ...";
    if (text.size() > bytes_max) text.replace(bytes_max - cut.size(), std::string::npos, cut);
    return text;
}

std::string record_text(const TaskRecord& record) {
    return Json{{"due", format_time(record.due)},
                {"ended", format_time(record.ended)},
                {"failures", record.failures},
                {"text", record.text},
                {"host", record.host}}
        .dump(-1, ' ', false, Json::error_handler_t::replace); // an error's text may quote bytes that are no UTF-8
}

std::optional<TaskRecord> parse_record(std::string_view text) {
    const auto json = Json::parse(text, nullptr, false);
    if (!json.is_object()) return std::nullopt;
    const auto due = time_in(json, "due"), ended = time_in(json, "ended");
    const auto failures = count_in(json, "failures");
    if (!due || !ended || !failures) return std::nullopt;
    return TaskRecord{*due, *ended, *failures, text_in(json, "text").value_or(""), text_in(json, "host").value_or("")};
}

std::string note_text(const RunningNote& note) {
    return Json{{"host", note.host}, {"at", format_time(note.at)}}.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<RunningNote> parse_note(std::string_view text) {
    const auto json = Json::parse(text, nullptr, false);
    if (!json.is_object()) return std::nullopt;
    const auto host = text_in(json, "host");
    const auto at = time_in(json, "at");
    return host && at ? std::optional(RunningNote{*host, *at}) : std::nullopt;
}

} // namespace walgd::daemon
