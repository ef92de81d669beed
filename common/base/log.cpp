#include "common/base/log.hpp"

#include "common/base/error.hpp"
#include "common/base/log_line.hpp"
#include "common/base/log_repeats.hpp"
#include "common/base/request_scope.hpp"

#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <spdlog/details/file_helper.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/null_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <sys/stat.h>
#include <unistd.h>

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
    explicit FileSink(const std::string& path) : file_(opened(path)) {}
    /// Where that fails, lines go on to where they went.
    void reopen() {
        auto anew = opened(file_->filename());
        const std::lock_guard lock(mutex_);
        file_ = std::move(anew);
    }

protected:
    void sink_it_(const spdlog::details::log_msg& message) override {
        spdlog::memory_buf_t text;
        formatter_->format(message, text);
        file_->write(text);
    }
    void flush_() override { file_->flush(); }

private:
    using File = std::unique_ptr<spdlog::details::file_helper>;
    static File opened(const std::string& path) {
        const bool there = ::access(path.c_str(), F_OK) == 0;
        auto file = std::make_unique<spdlog::details::file_helper>();
        try {
            file->open(path);
        } catch (const spdlog::spdlog_ex& error) {
            throw Error(ErrorKind::misconfigured, fmt::format("cannot log to {}: {}", path, error.what()),
                        "WALG_LOG_DESTINATION (log_destination in the file) names a file that this user may write to, or stderr");
        }
        if (!there) give_to_folders_owner(path);
        return file;
    }
    /// What root makes belongs to whom the folder belongs: PostgreSQL's user goes on in it. No link is followed that they may
    /// have put there meanwhile.
    static void give_to_folders_owner(const std::string& path) {
        const auto parent = std::filesystem::path(path).parent_path();
        struct stat folder{};
        if (::geteuid() != 0 || ::stat(parent.empty() ? "." : parent.c_str(), &folder) != 0) return;
        if (::lchown(path.c_str(), folder.st_uid, folder.st_gid) != 0)
            throw_errno(fmt::format("cannot give {} to the owner of its folder", path));
    }

    File file_; ///< always an open one
};

/// Tells what is worth telling to `inner`.
class RepeatSink : public spdlog::sinks::base_sink<std::mutex> {
public:
    explicit RepeatSink(spdlog::sink_ptr inner) : inner_(std::move(inner)) {}
    ~RepeatSink() override { tell_counts(std::chrono::system_clock::now(), true); }
    spdlog::sinks::sink& inner() { return *inner_; }

protected:
    void sink_it_(const spdlog::details::log_msg& message) override {
        tell_counts(message.time, false);
        const std::string_view text(message.payload.data(), message.payload.size());
        if (repeats_.tell(message.level, text, message.time)) inner_->log(message);
    }
    void flush_() override { inner_->flush(); }
    void set_formatter_(std::unique_ptr<spdlog::formatter> formatter) override { inner_->set_formatter(std::move(formatter)); }

private:
    void tell_counts(LogRepeats::Time now, bool at_end) {
        const RequestScope none(no_request_);
        for (const auto& count : repeats_.due(now, at_end))
            inner_->log(spdlog::details::log_msg(now, {}, {}, count.level, count.text));
    }

    spdlog::sink_ptr inner_;
    LogRepeats repeats_;
    const std::string no_request_;
};

/// systemd tells by device and inode which stream leads to its journal: stderr may have been turned elsewhere since.
bool stderr_is_journal() {
    const char* stream = std::getenv("JOURNAL_STREAM");
    struct stat about{};
    return stream != nullptr && ::fstat(STDERR_FILENO, &about) == 0 && fmt::format("{}:{}", about.st_dev, about.st_ino) == stream;
}

} // namespace

std::shared_ptr<Log> make_log(LogStyle style, spdlog::level::level_enum level, const std::string& destination) {
    const bool to_stderr = destination.empty() || destination == "stderr";
    spdlog::sink_ptr sink;
    if (to_stderr)
        sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    else
        sink = std::make_shared<FileSink>(destination);
    if (style != LogStyle::walg) sink = std::make_shared<RepeatSink>(std::move(sink));
    auto log = std::make_shared<Log>("walgd", std::move(sink));
    if (style == LogStyle::walg) {
        auto formatter = std::make_unique<spdlog::pattern_formatter>();
        formatter->add_flag<UpperLevel>('*').set_pattern("%*: %Y/%m/%d %H:%M:%S.%f %v");
        log->set_formatter(std::move(formatter));
    } else
        log->set_formatter(line_formatter({.json = style == LogStyle::json, .journal = to_stderr && stderr_is_journal()}));
    log->set_level(level);
    log->flush_on(spdlog::level::trace);
    return log;
}

void reopen(Log& log) {
    for (const auto& sink : log.sinks()) {
        auto* told = sink.get();
        if (auto* repeats = dynamic_cast<RepeatSink*>(told)) told = &repeats->inner();
        if (auto* file = dynamic_cast<FileSink*>(told)) file->reopen();
    }
}

std::shared_ptr<Log> silent_log() { return std::make_shared<Log>("silent", std::make_shared<spdlog::sinks::null_sink_mt>()); }

} // namespace walgd
