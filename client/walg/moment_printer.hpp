#pragma once
#include "common/pg/moment.hpp"

namespace walgd::cli {

/// Prints each record that a restore can be aimed at, a line each, from one LSN to before another.
class MomentPrinter : public pg::RecordSink {
public:
    MomentPrinter(pg::Lsn from, pg::Lsn to, bool json) : from_(from), to_(to), json_(json) {}
    /// Of the server that wrote what comes.
    void set_version(int version) { version_ = version; }
    bool enough() const { return enough_; }
    void record(const pg::RecordHeader& header, pg::Lsn end, ByteView bytes) override;

private:
    pg::Lsn from_, to_;
    bool json_, enough_ = false;
    int version_ = 18;
};

} // namespace walgd::cli
