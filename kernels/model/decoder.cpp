#include "kernels/model/decoder.h"

#include <algorithm>
#include <optional>
#include <set>
#include <stdexcept>

#include "kernels/core/parallel.h"
#include "kernels/model/decoder_cache.h"
#include "kernels/model/decoder_head.h"
#include "kernels/model/decoder_layout.h"
#include "kernels/model/transformer_pass.h"

namespace tutti {
namespace {

constexpr double kTokenDeviation = 0.02;

void require(bool condition, const char* what) {
  if (!condition) throw std::invalid_argument(what);
}

constexpr const char *kHead = "head.weight", *kToken = "token.embedding";

double sum_of(std::span<const float> losses) {
  double sum = 0;
  for (const float loss : losses) sum += double(loss);
  return sum;
}

}  // namespace

// Everything that does not depend on the compute type.
class Decoder::Pass {
 public:
  Pass(const DecoderShape& shape, DType compute, const AdapterShape* adapters)
      : shape_(shape), compute_(compute) {
    if (adapters == nullptr) {
      places_ = add_decoder_body(layout_, layout_, shape);
      head_ = add_decoder_head(layout_, shape, places_.token);
      return;
    }
    places_ = add_decoder_body(matrices_layout_, vectors_layout_, shape);
    adapters_ = add_adapters(layout_, shape.body, *adapters);
    matrices_.grow(matrices_layout_.padded_size());
    vectors_.grow(vectors_layout_.padded_size());
    whole_layout_ = decoder_layout(shape);
    for (const Parameter& p : whole_layout_.parameters()) missing_.insert(p.name);
  }
  virtual ~Pass() = default;

  bool frozen() const { return adapters_.has_value(); }
  const Adapters* adapters() const { return frozen() ? &*adapters_ : nullptr; }

  virtual void recompute_activations(bool recompute) = 0;
  virtual void load(std::span<const float> parameters) = 0;
  // Returns whether it refers to them from now on.
  virtual bool load_head(std::span<const bf16> weights) = 0;
  virtual void losses(const TokenBatch& batch, std::span<const std::int32_t> targets,
                      const CrossEntropyOptions& options, std::span<float> losses) = 0;
  virtual void forward(const TokenBatch& batch, const Dropout& mask) = 0;
  virtual void backward(const TokenBatch& batch, std::span<const std::int32_t> targets,
                        const CrossEntropyOptions& options, std::span<float> losses,
                        std::span<float> gradients, const FinalGradients& on_final) = 0;
  virtual void logits(const TokenBatch& batch, std::span<float> logits) = 0;
  virtual void start_generation(std::span<const std::int64_t> capacities) = 0;
  virtual void prefill(const TokenBatch& texts, std::int64_t first, std::span<float> logits) = 0;
  virtual void append(std::span<const std::int32_t> tokens, std::span<const std::int64_t> sequences,
                      std::span<float> logits) = 0;

  void check(const TokenBatch& batch) const {
    require(loaded_ && missing_.empty(), "decoder: no parameters were loaded");
    check_batch(shape_.body, batch);
  }
  void check(const TokenBatch& batch, std::span<const std::int32_t> targets) const {
    check(batch);
    require(targets.size() == batch.tokens.size(), "decoder: every token needs a target");
    for (const std::int32_t target : targets)
      require(target < shape_.body.vocabulary, "decoder: a target is outside the vocabulary");
  }

  const DecoderShape shape_;
  const DType compute_;
  ArenaLayout layout_;
  TransformerPlaces places_;
  ParameterPlace head_;
  // Frozen parameters.
  std::optional<Adapters> adapters_;
  ArenaLayout whole_layout_, matrices_layout_, vectors_layout_;
  AlignedBuffer<bf16> matrices_;
  AlignedBuffer<bf16> own_head_;  // where the head pass refers to it instead of packing it
  AlignedBuffer<float> vectors_;
  std::set<std::string> missing_;  // frozen parameters that were not given yet
  bool loaded_ = false;
  std::int64_t kept_tokens_ = -1;  // of the last forward(), -1 where backward() has nothing
  std::vector<float> losses_;      // of the last batch
};

template <class T>
class Decoder::TypedPass final : public Decoder::Pass {
 public:
  TypedPass(const DecoderShape& shape, ProductBackend backend, const AdapterShape* adapters)
      : Pass(shape, dtype_of<T>, adapters),
        body_(shape_.body, places_, backend, this->adapters()),
        head_pass_(shape_.body.vocabulary, shape_.body.width, body_.panel_rows(), frozen(),
                   backend) {}

  void recompute_activations(bool recompute) override { body_.recompute_activations(recompute); }
  void load(std::span<const float> parameters) override {
    if (frozen()) {
      body_.load_frozen(matrices_.data(), vectors_.data(), parameters.data());
      return;
    }
    body_.load(parameters.data());
    head_pass_.load(parameters.data() + head_.offset, DType::f32);
  }
  bool load_head(std::span<const bf16> weights) override {
    head_pass_.load(weights.data(), DType::bf16);
    return head_pass_.in_place();
  }

  void losses(const TokenBatch& batch, std::span<const std::int32_t> targets,
              const CrossEntropyOptions& options, std::span<float> losses) override {
    body_.forward(batch, false);
    head_pass_.losses(body_, targets, options, losses);
  }

  void forward(const TokenBatch& batch, const Dropout& mask) override {
    body_.forward(batch, true, nullptr, mask);
  }

  void backward(const TokenBatch& batch, std::span<const std::int32_t> targets,
                const CrossEntropyOptions& options, std::span<float> losses,
                std::span<float> gradients, const FinalGradients& on_final) override {
    body_.start_backward(batch);
    head_pass_.losses_and_gradients(body_, targets, options, losses,
                                    frozen() ? nullptr : gradients.data() + head_.offset);
    // Frozen layers are to take as little memory as they can. Otherwise, the gradient travels from
    // here on, and takes memory.
    if (on_final || frozen()) head_pass_.discard_logits();
    body_.backward(batch, gradients, on_final);
  }

  void logits(const TokenBatch& batch, std::span<float> logits) override {
    body_.forward(batch, false);
    head_pass_.logits(body_.hidden(0, std::ssize(batch.tokens)), logits);
  }

  void start_generation(std::span<const std::int64_t> capacities) override {
    cache_.emplace(shape_.body, capacities);
  }

  void prefill(const TokenBatch& texts, std::int64_t first, std::span<float> logits) override {
    require(cache_ && first >= 0 && first + texts.size() <= cache_->sequences(),
            "decoder: there are no such sequences");
    std::vector<std::int64_t> last;
    for (std::int64_t s = 0; s < texts.size(); ++s) {
      const std::int64_t length = texts.offsets[s + 1] - texts.offsets[s];
      require(cache_->length(first + s) == 0 && length <= cache_->capacity(first + s),
              "decoder: a text does not fit its sequence");
      last.push_back(texts.offsets[s + 1] - 1);
    }
    PrefillHook hook(*cache_, texts, first);
    body_.forward(texts, false, &hook);
    for (std::int64_t s = 0; s < texts.size(); ++s)
      cache_->set_length(first + s, texts.offsets[s + 1] - texts.offsets[s]);
    last_logits(last, logits);
  }

  void append(std::span<const std::int32_t> tokens, std::span<const std::int64_t> sequences,
              std::span<float> logits) override {
    std::vector<std::int32_t> offsets{0};
    std::vector<std::int64_t> rows;
    for (const std::int64_t s : sequences) {
      require(
          cache_ && s >= 0 && s < cache_->sequences() && cache_->length(s) < cache_->capacity(s),
          "decoder: a sequence is full, or there is none");
      rows.push_back(std::ssize(rows));
      offsets.push_back(static_cast<std::int32_t>(rows.size()));
    }
    AppendHook hook(*cache_, sequences);
    const TokenBatch batch{tokens, offsets};
    check(batch);
    body_.forward(batch, false, &hook);
    for (const std::int64_t s : sequences) cache_->set_length(s, cache_->length(s) + 1);
    last_logits(rows, logits);
  }

 private:
  // Keeps the keys and values of whole texts, and leaves attention to the pass.
  class PrefillHook : public AttentionHook<T> {
   public:
    PrefillHook(DecoderCache<T>& cache, const TokenBatch& texts, std::int64_t first)
        : cache_(cache), texts_(texts), first_(first) {}
    bool attend(std::int64_t layer, MatrixView<T> qkv, MatrixView<T>) override {
      parallel_for(texts_.size(), [&](std::int64_t s) {
        for (std::int32_t t = texts_.offsets[s]; t < texts_.offsets[s + 1]; ++t)
          cache_.keep(first_ + s, layer, t - texts_.offsets[s], qkv.row(t));
      });
      return false;
    }

   private:
    DecoderCache<T>& cache_;
    const TokenBatch& texts_;
    std::int64_t first_;
  };

  // One token a sequence, against what is kept.
  class AppendHook : public AttentionHook<T> {
   public:
    AppendHook(DecoderCache<T>& cache, std::span<const std::int64_t> sequences)
        : cache_(cache), sequences_(sequences), scratch_(1) {
      for (const std::int64_t s : sequences)
        positions_.push_back(static_cast<std::int32_t>(cache.length(s)));
      scratch_.prepare();
    }
    const std::int32_t* positions() const override { return positions_.data(); }
    bool attend(std::int64_t layer, MatrixView<T> qkv, MatrixView<T> context) override {
      parallel_for_dynamic(std::ssize(sequences_), [&](std::int64_t i) {
        cache_.keep(sequences_[i], layer, positions_[i], qkv.row(i));
        cache_.attend(sequences_[i], layer, positions_[i], qkv.row(i),
                      scratch_.template get<float>(0, positions_[i] + 1), context.row(i));
      });
      return true;
    }

   private:
    DecoderCache<T>& cache_;
    std::span<const std::int64_t> sequences_;
    std::vector<std::int32_t> positions_;
    ThreadScratch scratch_;
  };

  // Logits after some rows of the last forward pass.
  void last_logits(std::span<const std::int64_t> rows, std::span<float> logits) {
    const std::int64_t width = shape_.body.width;
    last_.grow(std::ssize(rows) * width);
    for (std::int64_t i = 0; i < std::ssize(rows); ++i)
      std::copy_n(body_.hidden(rows[i], 1).data, width, last_.data() + i * width);
    head_pass_.logits({last_.data(), std::ssize(rows), width}, logits);
  }

  TransformerPass<T> body_;
  DecoderHead<T> head_pass_;
  std::optional<DecoderCache<T>> cache_;
  AlignedBuffer<float> last_;
};

class Decoder::DevicePass final : public Decoder::Pass {
 public:
  DevicePass(const DecoderShape& shape, DType compute, std::unique_ptr<DeviceDecoder> device)
      : Pass(shape, compute, nullptr), device_(std::move(device)) {}

  void recompute_activations(bool recompute) override { device_->recompute_activations(recompute); }
  void load(std::span<const float> parameters) override { device_->load(parameters); }
  bool load_head(std::span<const bf16>) override { return false; }
  void losses(const TokenBatch& batch, std::span<const std::int32_t> targets,
              const CrossEntropyOptions& options, std::span<float> losses) override {
    device_->losses(batch, targets, options, losses);
  }
  void forward(const TokenBatch& batch, const Dropout& mask) override {
    device_->forward(batch, mask);
  }
  void backward(const TokenBatch& batch, std::span<const std::int32_t> targets,
                const CrossEntropyOptions& options, std::span<float> losses,
                std::span<float> gradients, const FinalGradients& on_final) override {
    device_->backward(batch, targets, options, losses, gradients, on_final);
  }
  void logits(const TokenBatch& batch, std::span<float> logits) override {
    device_->logits(batch, logits);
  }
  void start_generation(std::span<const std::int64_t>) override { refuse(); }
  void prefill(const TokenBatch&, std::int64_t, std::span<float>) override { refuse(); }
  void append(std::span<const std::int32_t>, std::span<const std::int64_t>,
              std::span<float>) override {
    refuse();
  }

 private:
  [[noreturn]] static void refuse() {
    throw std::invalid_argument("decoder: generation is not for devices");
  }
  std::unique_ptr<DeviceDecoder> device_;
};

std::unique_ptr<Decoder::Pass> Decoder::make_pass(const DecoderShape& shape, DType compute,
                                                  ProductBackend backend,
                                                  const AdapterShape* adapters) {
  require(compute == DType::f32 || compute == DType::bf16,
          "decoder: products are computed in f32 or bf16");
  if (compute == DType::bf16) return std::make_unique<TypedPass<bf16>>(shape, backend, adapters);
  return std::make_unique<TypedPass<float>>(shape, backend, adapters);
}

Decoder::Decoder(const DecoderShape& shape, DType compute, ProductBackend backend)
    : pass_(make_pass(shape, compute, backend, nullptr)) {}

Decoder::Decoder(const DecoderShape& shape, const AdapterShape& adapters, DType compute,
                 ProductBackend backend)
    : pass_(make_pass(shape, compute, backend, &adapters)) {}

Decoder::Decoder(const DecoderShape& shape, DType compute, std::unique_ptr<DeviceDecoder> device)
    : pass_(std::make_unique<DevicePass>(shape, compute, std::move(device))) {}

Decoder::~Decoder() = default;
Decoder::Decoder(Decoder&&) noexcept = default;
Decoder& Decoder::operator=(Decoder&&) noexcept = default;

const DecoderShape& Decoder::shape() const { return pass_->shape_; }
const ArenaLayout& Decoder::layout() const { return pass_->layout_; }
DType Decoder::compute() const { return pass_->compute_; }

void Decoder::load_frozen(const std::string& name, std::span<const float> values) {
  require(pass_->frozen(), "decoder: its parameters are not frozen");
  const Parameter& parameter = pass_->whole_layout_.find(name);
  require(std::ssize(values) == parameter.size, "decoder: a frozen parameter has another size");
  const bool is_head = name == kHead || (shape().tied_head && name == kToken);
  for (const Parameter& p : pass_->vectors_layout_.parameters())
    if (p.name == name) std::copy(values.begin(), values.end(), pass_->vectors_.data() + p.offset);
  AlignedBuffer<bf16> head(name == kHead ? parameter.size : 1);
  std::span<bf16> matrix;
  if (name == kHead) matrix = head.span();
  for (const Parameter& p : pass_->matrices_layout_.parameters())
    if (p.name == name) matrix = pass_->matrices_.span().subspan(p.offset, p.size);
  parallel_for(std::ssize(matrix), [&](std::int64_t i) { matrix[i] = bf16(values[i]); });
  if (is_head && pass_->load_head(matrix) && name == kHead) pass_->own_head_ = std::move(head);
  pass_->missing_.erase(name);
}

void Decoder::initialize(std::span<float> parameters, std::uint64_t seed) const {
  if (pass_->frozen()) return initialize_adapters(layout(), parameters, seed);
  initialize_transformer(layout(), shape().body.layers, kTokenDeviation, parameters, seed);
}

void Decoder::load_parameters(std::span<const float> parameters) {
  require(std::ssize(parameters) == layout().padded_size(),
          "decoder: the arena has the wrong size");
  pass_->loaded_ = true;
  pass_->kept_tokens_ = -1;
  pass_->load(parameters);
}

std::vector<ParameterPlace> Decoder::unread_places(std::span<const std::int32_t> tokens) const {
  if (pass_->frozen()) return {};
  std::vector<ParameterPlace> unread = unread_places_of(pass_->places_, shape().body.width, tokens);
  if (!shape().tied_head) unread.push_back(pass_->head_);
  return unread;
}

void Decoder::recompute_activations(bool recompute) {
  pass_->kept_tokens_ = -1;
  pass_->recompute_activations(recompute);
}

double Decoder::loss(const TokenBatch& batch, std::span<const std::int32_t> targets,
                     const CrossEntropyOptions& options, std::span<float> losses) {
  pass_->check(batch, targets);
  require(losses.empty() || losses.size() == targets.size(),
          "decoder: the losses have the wrong size");
  pass_->kept_tokens_ = -1;
  pass_->losses_.resize(targets.size());
  const std::span<float> each = losses.empty() ? std::span(pass_->losses_) : losses;
  pass_->losses(batch, targets, options, each);
  return sum_of(each);
}

void Decoder::forward(const TokenBatch& batch, const Dropout& mask) {
  pass_->check(batch);
  require(mask.rate >= 0 && mask.rate < 1, "decoder: a share to drop is from 0 on and below 1");
  require(mask.rate == 0 || mask.rows.size() == batch.tokens.size(),
          "decoder: dropout needs a key for each token");
  pass_->forward(batch, mask);
  pass_->kept_tokens_ = std::ssize(batch.tokens);
}

double Decoder::backward(const TokenBatch& batch, std::span<const std::int32_t> targets,
                         std::span<float> gradients, const CrossEntropyOptions& options,
                         const FinalGradients& on_final) {
  pass_->check(batch, targets);
  require(pass_->kept_tokens_ == std::ssize(batch.tokens),
          "decoder: backward() without forward() of the same batch before");
  require(std::ssize(gradients) == layout().padded_size(),
          "decoder: the gradients have the wrong size");
  pass_->kept_tokens_ = -1;
  pass_->losses_.resize(targets.size());
  pass_->backward(batch, targets, options, pass_->losses_, gradients, on_final);
  return sum_of(pass_->losses_);
}

void Decoder::logits(const TokenBatch& batch, std::span<float> logits) {
  pass_->check(batch);
  require(std::ssize(logits) == std::ssize(batch.tokens) * shape().body.vocabulary,
          "decoder: the logits have the wrong size");
  pass_->kept_tokens_ = -1;
  pass_->logits(batch, logits);
}

void Decoder::start_generation(std::span<const std::int64_t> capacities) {
  for (const std::int64_t capacity : capacities)
    require(capacity >= 1 && capacity <= shape().body.max_tokens,
            "decoder: a sequence is empty or longer than max_tokens");
  pass_->start_generation(capacities);
}

void Decoder::prefill(const TokenBatch& texts, std::int64_t first, std::span<float> logits) {
  pass_->check(texts);
  require(std::ssize(logits) == texts.size() * shape().body.vocabulary,
          "decoder: the logits have the wrong size");
  pass_->kept_tokens_ = -1;
  pass_->prefill(texts, first, logits);
}

void Decoder::append(std::span<const std::int32_t> tokens, std::span<const std::int64_t> sequences,
                     std::span<float> logits) {
  require(pass_->loaded_ && pass_->missing_.empty(), "decoder: no parameters were loaded");
  require(!tokens.empty() && tokens.size() == sequences.size() &&
              std::ssize(logits) == std::ssize(tokens) * shape().body.vocabulary,
          "decoder: the logits have the wrong size");
  pass_->kept_tokens_ = -1;
  pass_->append(tokens, sequences, logits);
}

std::vector<ProductSize> Decoder::forward_products(std::int64_t tokens) const {
  const auto kind = ProductSize::Kind::forward;
  const TransformerShape& body = shape().body;
  std::vector<ProductSize> products;
  add_products(products, body, tokens, kind);
  products.push_back(product_with(body.vocabulary, body.width, tokens, kind, 1));
  return products;
}

std::vector<ProductSize> Decoder::backward_products(std::int64_t tokens) const {
  const TransformerShape& body = shape().body;
  std::vector<ProductSize> products;
  for (const auto kind : {ProductSize::Kind::backward_data, ProductSize::Kind::backward_weights}) {
    if (pass_->frozen() && kind == ProductSize::Kind::backward_weights) continue;
    add_products(products, body, tokens, kind);
    products.push_back(product_with(body.vocabulary, body.width, tokens, kind, 1));
  }
  return products;
}

std::int64_t Decoder::product_flops(std::int64_t tokens) const {
  std::int64_t total = 0;
  for (const ProductSize& product : forward_products(tokens)) total += product.flops();
  for (const ProductSize& product : backward_products(tokens)) total += product.flops();
  return total;
}

}  // namespace tutti
