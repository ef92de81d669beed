#pragma once
#include <cstddef>
#include <iterator>

namespace walgd {

/// What a library pulls its input through, one character after the other. `Source` has more(), which may wait for some, current()
/// and advance(). One without a source is the end.
template <class Source> struct CharacterIterator {
    using iterator_category = std::input_iterator_tag;
    using value_type = char;
    using difference_type = std::ptrdiff_t;
    using pointer = const char*;
    using reference = char;
    Source* source = nullptr;
    char operator*() const { return source->current(); }
    CharacterIterator& operator++() {
        source->advance();
        return *this;
    }
    CharacterIterator operator++(int) {
        auto old = *this;
        ++*this;
        return old;
    }
    /// Only ever compared with the end.
    bool operator==(const CharacterIterator&) const { return source == nullptr || !source->more(); }
};

} // namespace walgd
