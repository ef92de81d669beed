#pragma once
#include "common/base/histogram.hpp"

#include <chrono>
#include <initializer_list>
#include <prometheus/metric_family.h>
#include <string>
#include <utility>
#include <vector>

namespace walgd::daemon {

/// Counts and times as Prometheus takes them. A time that is not set is 0.
inline double number(auto value) { return static_cast<double>(value); }
inline double unix_seconds(auto time) { return std::chrono::duration<double>(time.time_since_epoch()).count(); }

/// The families of one scrape, in the order in which they are added.
class MetricFamilies {
public:
    using Labels = std::initializer_list<std::pair<std::string, std::string>>;

    /// A further value of the family `name`; the first one makes the family.
    void gauge(const std::string& name, const std::string& help, double value, Labels labels = {});
    void counter(const std::string& name, const std::string& help, double value, Labels labels = {});
    void histogram(const std::string& name, const std::string& help, const LatencyHistogram& value, Labels labels = {});

    std::string text() const;

private:
    prometheus::ClientMetric& add(const std::string& name, const std::string& help, prometheus::MetricType type, Labels labels);

    std::vector<prometheus::MetricFamily> families_;
};

} // namespace walgd::daemon
