// The pieces of a tokenizer by id, and their ids.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace tutti {

class Vocabulary {
 public:
  // Ids are the indices; the first `model_pieces` are the model's own, those behind were added. A
  // piece that is there twice has its first id.
  Vocabulary(std::vector<std::string> pieces, std::int32_t model_pieces)
      : pieces_(std::move(pieces)), model_pieces_(model_pieces) {
    ids_.reserve(pieces_.size());
    for (std::size_t i = 0; i < pieces_.size(); ++i) ids_.emplace(pieces_[i], std::int32_t(i));
  }
  Vocabulary(const Vocabulary&) = delete;  // the index points into the pieces
  Vocabulary& operator=(const Vocabulary&) = delete;

  std::int32_t size() const { return std::int32_t(pieces_.size()); }
  std::int32_t model_pieces() const { return model_pieces_; }
  const std::string& piece(std::int32_t id) const { return pieces_[std::size_t(id)]; }
  // -1 where there is none.
  std::int32_t id_of(std::string_view piece) const {
    const auto it = ids_.find(piece);
    return it == ids_.end() ? -1 : it->second;
  }
  // The same, of the model's own pieces.
  std::int32_t model_id_of(std::string_view piece) const {
    const std::int32_t id = id_of(piece);
    return id < model_pieces_ ? id : -1;
  }

 private:
  const std::vector<std::string> pieces_;
  const std::int32_t model_pieces_;
  std::unordered_map<std::string_view, std::int32_t> ids_;
};

}  // namespace tutti
