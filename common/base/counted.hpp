#pragma once

namespace walgd {

/// Counts what is under way while it lives.
class Counted {
public:
    explicit Counted(unsigned& counter) : counter_(counter) { ++counter_; }
    ~Counted() { --counter_; }
    Counted(const Counted&) = delete;

private:
    unsigned& counter_;
};

} // namespace walgd
