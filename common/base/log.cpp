#include "common/base/log.hpp"

#include <spdlog/details/file_helper.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/null_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

namespace walgd {

namespace {

/// WAL-G's level names, in capitals.
class UpperLevel : public spdlog::custom_flag_formatter {
public:
    void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& out) override {
        std::string_view name = "INFO";
        if (message.level == spdlog::level::debug || message.level == spdlog::level::trace) name = "DEBUG";
        if (message.level == spdlog::level::warn) name = "WARNING";
        if (message.level >= spdlog::level::err) name = "ERROR";
        out.append(name.data(), name.data() + name.size());
    }
    std::unique_ptr<custom_flag_formatter> clone() const override { return std::make_unique<UpperLevel>(); }
};

/// A file that can be opened anew, for those who move logs away.
class FileSink : public spdlog::sinks::base_sink<std::mutex> {
public:
    explicit FileSink(const std::string& path) { file_.open(path); }
    void reopen() {
        const std::lock_guard lock(mutex_);
        file_.reopen(false);
    }

protected:
    void sink_it_(const spdlog::details::log_msg& message) override {
        spdlog::memory_buf_t text;
        formatter_->format(message, text);
        file_.write(text);
    }
    void flush_() override { file_.flush(); }

private:
    spdlog::details::file_helper file_;
};

} // namespace

std::shared_ptr<Log> make_log(LogStyle style, spdlog::level::level_enum level, const std::string& destination) {
    spdlog::sink_ptr sink;
    if (destination.empty() || destination == "stderr")
        sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    else
        sink = std::make_shared<FileSink>(destination);
    auto log = std::make_shared<Log>("walgd", std::move(sink));
    if (style == LogStyle::walg) {
        auto formatter = std::make_unique<spdlog::pattern_formatter>();
        formatter->add_flag<UpperLevel>('*').set_pattern("%*: %Y/%m/%d %H:%M:%S.%f %v");
        log->set_formatter(std::move(formatter));
    } else {
        log->set_formatter(
            std::make_unique<spdlog::pattern_formatter>("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc));
    }
    log->set_level(level);
    log->flush_on(spdlog::level::trace);
    return log;
}

void reopen(Log& log) {
    for (const auto& sink : log.sinks()) {
        if (auto* file = dynamic_cast<FileSink*>(sink.get())) file->reopen();
    }
}

std::shared_ptr<Log> silent_log() { return std::make_shared<Log>("silent", std::make_shared<spdlog::sinks::null_sink_mt>()); }

} // namespace walgd
