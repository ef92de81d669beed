#include "common/codec/methods.hpp"

namespace walgd::codec {

namespace {

class Pass final : public Sink {
public:
    explicit Pass(Sink& next) : next_(next) {}
    void write(ByteView bytes) override { next_.write(bytes); }
    void finish() override { next_.finish(); }

private:
    Sink& next_;
};

class None final : public Compression {
public:
    std::string_view name() const override { return "none"; }
    std::string_view suffix() const override { return ""; }
    std::unique_ptr<Sink> compressor(Sink& next, Content, const std::string&) const override {
        return std::make_unique<Pass>(next);
    }
    std::unique_ptr<Sink> decompressor(Sink& next) const override { return std::make_unique<Pass>(next); }
    void check_level(const std::string& level) const override { refuse_level(name(), level); }
};

} // namespace

const Compression& none_method() {
    static const None method;
    return method;
}

} // namespace walgd::codec
