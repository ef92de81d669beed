#include "daemon/http/metric_families.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <prometheus/text_serializer.h>
#include <sstream>

namespace walgd::daemon {

namespace {

/// Prometheus refuses a whole scrape for one byte that is no UTF-8, and names in a storage may have any.
std::string as_utf8(const std::string& text) {
    if (std::ranges::all_of(text, [](char letter) { return static_cast<unsigned char>(letter) < 0x80; })) return text;
    using Json = nlohmann::json;
    return Json::parse(Json(text).dump(-1, ' ', false, Json::error_handler_t::replace)).get<std::string>();
}

} // namespace

prometheus::ClientMetric& MetricFamilies::add(const std::string& name, const std::string& help, prometheus::MetricType type,
                                              Labels labels) {
    // The family added last is the one most likely asked for.
    const auto found =
        std::find_if(families_.rbegin(), families_.rend(), [&name](const auto& family) { return family.name == name; });
    const bool known = found != families_.rend();
    if (!known) families_.push_back({name, help, type, {}});
    auto& metric = (known ? *found : families_.back()).metric.emplace_back();
    for (const auto& [key, value] : labels) metric.label.push_back({key, as_utf8(value)});
    return metric;
}

void MetricFamilies::gauge(const std::string& name, const std::string& help, double value, Labels labels) {
    add(name, help, prometheus::MetricType::Gauge, labels).gauge.value = value;
}

void MetricFamilies::counter(const std::string& name, const std::string& help, double value, Labels labels) {
    add(name, help, prometheus::MetricType::Counter, labels).counter.value = value;
}

void MetricFamilies::histogram(const std::string& name, const std::string& help, const LatencyHistogram& value, Labels labels) {
    auto& histogram = add(name, help, prometheus::MetricType::Histogram, labels).histogram;
    std::uint64_t so_far = 0;
    for (std::size_t i = 0; i < LatencyHistogram::bounds.size(); ++i) {
        so_far += value.count_in(i);
        histogram.bucket.push_back({so_far, LatencyHistogram::bounds[i]});
    }
    histogram.bucket.push_back({value.count(), std::numeric_limits<double>::infinity()});
    histogram.sample_count = value.count();
    histogram.sample_sum = value.sum_seconds();
}

std::string MetricFamilies::text() const {
    std::ostringstream out;
    prometheus::TextSerializer().Serialize(out, families_);
    return out.str();
}

} // namespace walgd::daemon
