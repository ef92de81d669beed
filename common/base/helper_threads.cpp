#include "common/base/helper_threads.hpp"

#include <algorithm>
#include <system_error>

namespace walgd {

HelperThreads::HelperThreads(unsigned cores, MemoryBudget& budget) : cores_(static_cast<int>(cores)), budget_(budget) {
    threads_.reserve(cores);
    try {
        for (unsigned helper = 1; helper < cores; ++helper) threads_.emplace_back([this] { help(); });
    } catch (const std::system_error&) { // the limit of processes: who needs something does it
    }
}

HelperThreads::~HelperThreads() {
    {
        const std::lock_guard lock(mutex_);
        ended_ = true;
    }
    work_.notify_all();
}

void HelperThreads::add_users(int count) {
    {
        const std::lock_guard lock(mutex_);
        users_ += count;
    }
    work_.notify_all();
}

bool HelperThreads::are_free() const {
    const std::lock_guard lock(mutex_);
    return !threads_.empty() && users_ < cores_;
}

void HelperThreads::add(TaskPtr task) {
    {
        const std::lock_guard lock(mutex_);
        waiting_.push_back(std::move(task));
    }
    work_.notify_one();
}

bool HelperThreads::withdraw(const TaskPtr& task) {
    const std::lock_guard lock(mutex_);
    return take(task);
}

/// Off those that wait. The lock is held.
bool HelperThreads::take(const TaskPtr& task) {
    if (task->state_ != Task::State::waiting) return false;
    std::erase(waiting_, task);
    task->state_ = Task::State::taken;
    return true;
}

/// Without the lock. Somebody else may need what it made.
void HelperThreads::run(std::unique_lock<std::mutex>& lock, Task& task) {
    lock.unlock();
    try {
        task.work_();
    } catch (...) {
        task.failure_ = std::current_exception();
    }
    lock.lock();
    task.state_ = Task::State::done;
}

void HelperThreads::finish(const TaskPtr& task, const std::vector<TaskPtr>& others) {
    std::unique_lock lock(mutex_);
    if (take(task)) run(lock, *task);
    while (task->state_ != Task::State::done) {
        const auto next = std::ranges::find_if(others, [&](const TaskPtr& other) { return take(other); });
        if (next != others.end())
            run(lock, **next);
        else
            done_.wait(lock);
    }
    if (task->failure_) std::rethrow_exception(task->failure_);
}

void HelperThreads::help() {
    std::unique_lock lock(mutex_);
    while (!ended_) {
        if (!may_help()) {
            work_.wait(lock);
            continue;
        }
        const auto task = waiting_.front();
        take(task);
        ++helping_;
        run(lock, *task);
        --helping_;
        done_.notify_all();
    }
}

} // namespace walgd
