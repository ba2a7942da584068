#include "runtime/data/json_encoder.h"

#include <algorithm>

#include "runtime/data/utf8.h"

namespace tutti {
namespace {

AddedTokenFinder finder(const JsonEncoderParts& parts, const TextNormalizer* normalizer,
                        bool with_special) {
  std::vector<AddedToken> tokens;
  std::vector<std::string> patterns;
  NormalizerScratch scratch;
  for (const AddedToken& token : parts.added) {
    if (token.normalized != (normalizer != nullptr) || (token.special && !with_special)) continue;
    const MappedView content{token.content};
    const MappedView pattern =
        normalizer ? normalizer->normalize(content, false, scratch) : content;
    if (pattern.text.empty()) continue;
    tokens.push_back(token);
    patterns.emplace_back(pattern.text);
  }
  return {std::move(tokens), patterns};
}

}  // namespace

JsonEncoder::JsonEncoder(JsonEncoderParts parts)
    : parts_(std::move(parts)),
      normalizer_(parts_.normalizer),
      all_(finders(true)),
      ordinary_(finders(false)),
      is_special_(std::size_t(parts_.vocabulary->size())) {
  for (const AddedToken& token : parts_.added)
    if (token.special) is_special_[std::size_t(token.id)] = true;
}

JsonEncoder::Finders JsonEncoder::finders(bool with_special) const {
  return {finder(parts_, nullptr, with_special), finder(parts_, &normalizer_, with_special)};
}

std::unique_ptr<JsonEncoder::Scratch> JsonEncoder::borrow() const {
  const std::lock_guard lock(mutex_);
  if (idle_.empty()) return std::make_unique<Scratch>();
  auto scratch = std::move(idle_.back());
  idle_.pop_back();
  return scratch;
}

void JsonEncoder::give_back(std::unique_ptr<Scratch> scratch) const {
  const std::lock_guard lock(mutex_);
  idle_.push_back(std::move(scratch));
}

void JsonEncoder::encode(std::string_view text, std::vector<std::int32_t>& ids) const {
  ids.reserve(ids.size() + text.size() / 3);
  Output out{&ids, nullptr};
  encode({text}, all_, true, out);
}

void JsonEncoder::encode_plain(std::string_view text, bool is_first,
                               std::vector<std::int32_t>& ids) const {
  Output out{&ids, nullptr};
  encode({text}, ordinary_, is_first, out);
}

void JsonEncoder::encode(std::string_view text, std::int64_t origin,
                         std::vector<Token>& tokens) const {
  Output out{nullptr, &tokens, origin};
  encode({text, origin}, all_, true, out);
}

void JsonEncoder::encode(const MappedView& text, const Finders& added, bool is_first,
                         Output& out) const {
  auto scratch = borrow();
  const auto put_token = [&](const MappedView& part, std::int32_t id) {
    if (out.ids)
      out.ids->push_back(id);
    else
      out.tokens->push_back({id, out.latest = std::max(out.latest, part.origin(0))});
  };
  added.raw.split(text, [&](const MappedView& raw, std::int32_t id) {
    if (id >= 0) return put_token(raw, id);
    const bool begins_text = is_first && raw.text.data() == text.text.data();
    const MappedView normal =
        normalizer_.normalize(raw, out.tokens != nullptr, scratch->normalizer);
    added.normalized.split(normal, [&](const MappedView& section, std::int32_t token) {
      if (token >= 0) return put_token(section, token);
      encode_section(section, begins_text && section.text.data() == normal.text.data(), *scratch,
                     out);
    });
  });
  give_back(std::move(scratch));
}

void JsonEncoder::encode_section(const MappedView& section, bool is_first, Scratch& scratch,
                                 Output& out) const {
  const MappedView whole = prefixed(section, is_first, out.tokens != nullptr, scratch);
  const auto work = [&](std::string_view word) { encode_word(whole, word, scratch, out); };
  each_word(parts_.splits, whole.text, work);
}

MappedView JsonEncoder::prefixed(const MappedView& section, bool is_first, bool with_origins,
                                 Scratch& scratch) const {
  const PrefixStep& step = parts_.prefix;
  const std::string_view space = step.mark.empty() ? " " : std::string_view(step.mark);
  const bool has_prefix = section.text.starts_with(space) || section.text.starts_with(' ');
  const bool puts_prefix = !has_prefix && (step.when == PrefixStep::When::always ||
                                           (step.when == PrefixStep::When::first && is_first));
  const bool marks_spaces = !step.mark.empty() && section.text.find(' ') != std::string_view::npos;
  if (!puts_prefix && !marks_spaces) return section;
  MappedText& text = scratch.prefixed;
  text.reset(with_origins);
  if (puts_prefix) text.append(space, section.origin(0));
  std::size_t at = 0;
  for (std::size_t found;
       marks_spaces && (found = section.text.find(' ', at)) != std::string_view::npos;
       at = found + 1) {
    text.append(section.part(at, found));
    text.append(space, section.origin(found));
  }
  text.append(section.part(at, section.text.size()));
  return text.view();
}

void JsonEncoder::encode_word(const MappedView& section, std::string_view word, Scratch& scratch,
                              Output& out) const {
  const auto begin = std::size_t(word.data() - section.text.data());
  const WordCache::Slot* known = scratch.cache.find(word, section.text.size() - begin);
  if (known && out.ids) {
    out.ids->insert(out.ids->end(), known->ids, known->ids + known->count);
    return;
  }
  std::size_t at = begin;
  const auto put = [&](std::int32_t id, std::size_t bytes) {
    if (out.ids)
      out.ids->push_back(id);
    else
      out.tokens->push_back(
          {id, out.latest = std::max(out.latest, section.origin(utf8_floor(section.text, at)))});
    at += bytes;
  };
  if (known) {
    for (std::size_t i = 0; i < known->count; ++i) put(known->ids[i], known->bytes[i]);
    return;
  }
  parts_.words->encode(word, scratch.words);
  scratch.cache.put(word, scratch.words.tokens);
  for (const WordToken& token : scratch.words.tokens) put(token.id, token.bytes);
}

std::string JsonEncoder::decode(std::span<const std::int32_t> ids, bool skip_special) const {
  std::vector<std::string> pieces;
  for (const std::int32_t id : ids)
    if (!skip_special || !is_special_[std::size_t(id)])
      pieces.push_back(parts_.vocabulary->piece(id));
  return decode_pieces(parts_.decoder, std::move(pieces));
}

std::optional<std::int32_t> JsonEncoder::id_of(std::string_view piece) const {
  const std::int32_t id = parts_.vocabulary->id_of(piece);
  return id < 0 ? std::nullopt : std::optional(id);
}

}  // namespace tutti
