#include "common/base/child_process.hpp"

#include "common/base/error.hpp"
#include "common/base/files.hpp"

#include <fmt/format.h>
#include <optional>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <system_error>
#include <thread>
#include <unistd.h>

namespace walgd {

namespace {

constexpr std::chrono::milliseconds look_again{50};

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
    std::vector<char*> pointers;
    for (auto& text : texts) pointers.push_back(text.data());
    pointers.push_back(nullptr);
    return pointers;
}

pid_t spawn(ChildProcess& program) {
    ::signal(SIGCHLD, SIG_DFL); // whoever started us may have it ignored: then no child tells how it ended
    const auto words = pointers_to(program.words), environment = pointers_to(program.environment);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    if (program.input >= 0) ::posix_spawn_file_actions_adddup2(&actions, program.input, STDIN_FILENO);
    if (program.output >= 0) ::posix_spawn_file_actions_adddup2(&actions, program.output, STDOUT_FILENO);
    // Sockets of libraries would stay open in it.
    ::posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
    posix_spawnattr_t attributes;
    ::posix_spawnattr_init(&attributes);
    sigset_t none, usual;
    ::sigemptyset(&none);
    ::sigemptyset(&usual);
    ::sigaddset(&usual, SIGPIPE);
    ::posix_spawnattr_setsigmask(&attributes, &none);
    ::posix_spawnattr_setsigdefault(&attributes, &usual);
    ::posix_spawnattr_setpgroup(&attributes, 0);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    pid_t child = 0;
    const int error = ::posix_spawn(&child, words[0], &actions, &attributes, words.data(), environment.data());
    ::posix_spawnattr_destroy(&attributes);
    ::posix_spawn_file_actions_destroy(&actions);
    if (error != 0) throw_errno("cannot start it", error);
    return child;
}

/// One that is another user's, or waits for a device, may live on.
void wait_elsewhere(pid_t child) {
    try {
        std::thread([child] { ::waitpid(child, nullptr, 0); }).detach();
    } catch (const std::system_error&) { // then it is one more entry in the list of processes
    }
}

/// A child that is ended, with its own, when it is let go of before it ended by itself.
class Child {
public:
    explicit Child(pid_t pid) : pid_(pid) {}
    ~Child() {
        if (pid_ == 0) return;
        ::kill(-pid_, SIGKILL);
        ::kill(pid_, SIGKILL);
        if (::waitpid(pid_, nullptr, WNOHANG) == 0) wait_elsewhere(pid_);
    }
    Child(const Child&) = delete;
    /// Its wait status, once it has ended.
    std::optional<int> ended() {
        int status = 0;
        if (::waitpid(pid_, &status, WNOHANG) != pid_) return std::nullopt;
        pid_ = 0;
        return status;
    }

private:
    pid_t pid_;
};

} // namespace

awaitable<void> run_child(ChildProcess program) {
    Child child(spawn(program));
    for (;;) {
        const auto status = child.ended();
        if (status) {
            if (WIFEXITED(*status) && WEXITSTATUS(*status) == 0) co_return;
            throw Error(ErrorKind::failed, WIFEXITED(*status) ? fmt::format("it ended with {}", WEXITSTATUS(*status))
                                                              : fmt::format("signal {} ended it", WTERMSIG(*status)));
        }
        co_await sleep_for(look_again);
    }
}

UniqueFd file_in_memory(std::string_view content) {
    UniqueFd fd(::memfd_create("walgd-child", MFD_CLOEXEC));
    if (!fd) throw_errno("cannot make a file in memory");
    write_all(fd.get(), bytes_of(content), "a file in memory");
    if (::lseek(fd.get(), 0, SEEK_SET) != 0) throw_errno("cannot rewind a file in memory");
    return fd;
}

} // namespace walgd
