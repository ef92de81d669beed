#include "common/backup/check_ahead.hpp"

#include "common/backup/content_check.hpp"

#include <boost/asio/post.hpp>
#include <memory>
#include <numeric>

namespace walgd::backup {

CheckAhead::CheckAhead(unsigned at_once, MemoryBudget& budget, std::stop_token stop)
    : at_once_(at_once), budget_(budget), stop_(std::move(stop)), on_stop_(stop_, [this] { leaving_.request_stop(); }),
      threads_(std::max(1U, at_once)) {}

CheckAhead::~CheckAhead() {
    leaving_.request_stop();
    threads_.join();
}

bool CheckAhead::begin(const archive::HeldObject& object, std::uint64_t bytes, Work work) {
    if (!begun_.empty() && begun_.size() >= at_once_) return false;
    auto lease = at_once_ > 1 ? budget_.try_acquire(bytes) : std::nullopt;
    if (!lease && !begun_.empty()) return false;
    if (!lease) {
        begun_.push_back({.object = object, .lease = budget_.acquire(check_bytes, stop_)});
        return true;
    }
    auto task = std::make_shared<std::packaged_task<Outcome()>>(
        [work = std::move(work), stop = leaving_.get_token()] { return work(stop); });
    begun_.push_back({.object = object, .lease = std::move(*lease), .future = task->get_future()});
    asio::post(threads_.get_executor(), [task] { (*task)(); });
    return true;
}

std::uint64_t CheckAhead::bytes() const {
    return std::accumulate(begun_.begin(), begun_.end(), std::uint64_t{0},
                           [](std::uint64_t sum, const Begun& one) { return sum + one.object.bytes; });
}

CheckAhead::Begun CheckAhead::take_first() {
    auto first = std::move(begun_.front());
    begun_.pop_front();
    return first;
}

} // namespace walgd::backup
