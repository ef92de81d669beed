#pragma once
#include "common/base/budget.hpp"

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace walgd {

/// Threads that do work ahead for others, on cores for which there is nobody else. Thread-safe.
class HelperThreads {
public:
    /// A piece of work that is done once, by a helper or by who needs it. What it uses must live as long as it does.
    class Task {
    public:
        explicit Task(std::function<void()> work) : work_(std::move(work)) {}

    private:
        friend class HelperThreads;
        enum class State { waiting, taken, done };
        std::function<void()> work_;
        State state_ = State::waiting;
        std::exception_ptr failure_;
    };
    using TaskPtr = std::shared_ptr<Task>;

    /// For a machine of so many cores. Where threads cannot be had there are fewer helpers, or none. Memory for what is done
    /// ahead comes out of `budget`.
    HelperThreads(unsigned cores, MemoryBudget& budget);
    /// Tasks that nobody has begun are left.
    ~HelperThreads();
    HelperThreads(const HelperThreads&) = delete;

    /// Who works on a core of its own, and may have work for helpers, while it lives.
    class User {
    public:
        explicit User(HelperThreads& helpers) : helpers_(helpers) { helpers_.add_users(1); }
        ~User() { helpers_.add_users(-1); }
        User(const User&) = delete;

    private:
        HelperThreads& helpers_;
    };

    /// Whether a core is free for a helper.
    bool are_free() const;
    MemoryBudget& budget() const { return budget_; }

    void add(TaskPtr task);
    /// Takes back what no helper has begun.
    bool withdraw(const TaskPtr& task);
    /// Returns when the task is done, here if no helper has begun it; throws what it threw. While a helper is at it, `others`
    /// that wait are done here.
    void finish(const TaskPtr& task, const std::vector<TaskPtr>& others);

private:
    void add_users(int count);
    void help();
    bool may_help() const { return !waiting_.empty() && helping_ + users_ < cores_; }
    bool take(const TaskPtr& task);
    void run(std::unique_lock<std::mutex>& lock, Task& task);

    const int cores_;
    MemoryBudget& budget_;
    mutable std::mutex mutex_;
    std::condition_variable work_, done_;
    std::deque<TaskPtr> waiting_;
    int users_ = 0, helping_ = 0;
    bool ended_ = false;
    std::vector<std::jthread> threads_;
};

} // namespace walgd
