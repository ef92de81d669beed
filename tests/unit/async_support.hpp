#pragma once
#include "common/base/async.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>
#include <filesystem>
#include <stdlib.h>
#include <string>
#include <thread>

namespace walgd::test {

/// An I/O thread for tests: this one.
class Loop {
public:
    template <class T> T run(awaitable<T> task) {
        auto result = asio::co_spawn(io_, std::move(task), asio::use_future);
        io_.restart();
        io_.run();
        return result.get();
    }
    asio::io_context& io() { return io_; }
    asio::any_io_executor executor() { return io_.get_executor(); }

private:
    asio::io_context io_{1};
};

/// An I/O thread beside this one.
struct Beside {
    asio::io_context io{1};
    asio::executor_work_guard<asio::io_context::executor_type> guard = asio::make_work_guard(io);
    std::thread thread{[this] { io.run(); }};
    ~Beside() {
        guard.reset();
        thread.join();
    }
};

/// A folder that is gone after the test.
class TemporaryFolder {
public:
    TemporaryFolder() {
        auto pattern = (std::filesystem::temp_directory_path() / "walgd-unit.XXXXXX").string();
        REQUIRE(::mkdtemp(pattern.data()) != nullptr);
        path_ = pattern;
    }
    ~TemporaryFolder() { std::filesystem::remove_all(path_); }
    TemporaryFolder(const TemporaryFolder&) = delete;
    const std::string& path() const { return path_; }
    std::string operator/(const std::string& name) const { return path_ + "/" + name; }

private:
    std::string path_;
};

/// The kind of the Error that `work` throws.
template <class Work> ErrorKind kind_of(Work work) {
    try {
        work();
    } catch (const Error& error) {
        return error.kind();
    }
    FAIL("nothing was thrown");
    return ErrorKind::failed;
}

/// The text of the Error that `work` throws, with its hint.
template <class Work> std::string text_of_error(Work work) {
    try {
        work();
    } catch (const Error& error) {
        return std::string(error.what()) + " HINT: " + error.hint();
    }
    FAIL("nothing was thrown");
    return {};
}

} // namespace walgd::test
