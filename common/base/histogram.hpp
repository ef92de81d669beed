#pragma once
#include <array>
#include <chrono>
#include <cstdint>

namespace walgd {

/// How often something took how long: counts by upper bound, as Prometheus has them.
class LatencyHistogram {
public:
    /// In seconds; what takes longer is in `count` alone.
    static constexpr std::array<double, 15> bounds{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                                   0.5,   1,      2.5,   5,    10,    30,   60};

    void add(std::chrono::steady_clock::duration took) {
        const auto seconds = std::chrono::duration<double>(took).count();
        ++count_;
        sum_ += seconds;
        for (std::size_t i = 0; i < bounds.size(); ++i) {
            if (seconds > bounds[i]) continue;
            ++counts_[i];
            return;
        }
    }
    std::uint64_t count() const { return count_; }
    double sum_seconds() const { return sum_; }
    /// Of those that took at most bounds[i], and more than the bound before.
    std::uint64_t count_in(std::size_t i) const { return counts_[i]; }

private:
    std::array<std::uint64_t, bounds.size()> counts_{};
    std::uint64_t count_ = 0;
    double sum_ = 0;
};

} // namespace walgd
