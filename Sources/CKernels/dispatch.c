// Picks the kernels of the best instruction set at the first call.
#include <stdatomic.h>
#include <stdlib.h>

#include "kernels.h"

static _Atomic(const fs_kernels *) current;

// What this thread chose for itself.
static _Thread_local const fs_kernels *own;

static bool available(const fs_kernels *kernels) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  bool vnni = avx512 && __builtin_cpu_supports("avx512vnni");
  bool bfloat16 = vnni && __builtin_cpu_supports("avx512bf16");
  if (kernels == &fs_amx) return bfloat16 && fs_may_use_tiles();
  if (kernels == &fs_avx512bf16) return bfloat16;
  if (kernels == &fs_avx512vnni) return vnni;
  if (kernels == &fs_avx512) return avx512;
  bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  if (kernels == &fs_avxvnni) return avx2 && __builtin_cpu_supports("avxvnni");
  if (kernels == &fs_avx2) return avx2;
#endif
  return kernels == &fs_portable;
}

// Intel's cores take vdpbf16ps at a quarter of the rate of vfmadd: what it adds up in pairs comes at half the speed.
static bool pays(const fs_kernels *kernels) {
#if defined(__x86_64__)
  if (kernels == &fs_avx512bf16) return !__builtin_cpu_is("intel");
#endif
  return true;
}

static const fs_kernels *const all[] = {
#if defined(__x86_64__)
  &fs_amx, &fs_avx512bf16, &fs_avx512vnni, &fs_avx512, &fs_avxvnni, &fs_avx2,
#endif
  &fs_portable,
};
enum { COUNT = sizeof all / sizeof all[0] };

static const fs_kernels *named(const char *name) {
  for (int i = 0; i < COUNT; i++)
    if (strcmp(all[i]->name, name) == 0 && available(all[i])) return all[i];
  return NULL;
}

static const fs_kernels *kernels(void) {
  if (own) return own;
  const fs_kernels *chosen = atomic_load_explicit(&current, memory_order_acquire);
  if (chosen) return chosen;
  const char *wanted = getenv("FEWSTEP_ISA");
  if (wanted) chosen = named(wanted);
  for (int i = 0; !chosen && i < COUNT; i++)
    if (available(all[i]) && pays(all[i])) chosen = all[i];
  atomic_store_explicit(&current, chosen, memory_order_release);
  return chosen;
}

const char *fs_isa_name(void) { return kernels()->name; }

bool fs_isa_select(const char *name) {
  const fs_kernels *chosen = named(name);
  if (chosen) own = chosen;
  return chosen != NULL;
}

const fs_kernels *fs_own_kernels(void) { return own; }

void fs_adopt_kernels(const fs_kernels *kernels) { own = kernels; }

void fs_convolve(const fs_convolution *op, int64_t row_begin, int64_t row_end, int64_t panel_begin, int64_t panel_end) {
  if (!fs_is_few(op->format, op->outputs, op->kernel_height * op->kernel_width))
    kernels()->convolve[op->format](op, row_begin, row_end, panel_begin, panel_end);
  else if (panel_begin == 0 && panel_end > 0) kernels()->convolve_few(op, row_begin, row_end);
}

bool fs_rounds_inputs(void) { return kernels()->convert[FS_BFLOAT16] != NULL; }

int64_t fs_direct_products(fs_format format) {
  return format != FS_BFLOAT16 || !fs_rounds_inputs() ? 1 : kernels()->tiles ? 16 : 2;
}

int64_t fs_pixel_bytes(fs_format format, int64_t channels) {
  if (!kernels()->convert[format]) return 0;
  return format == FS_INT8 ? fs_int8_bytes(channels) : fs_bfloat16_stride(channels);
}

bool fs_reads_floats(fs_format format, int64_t channels, int64_t taps) {
  return !kernels()->convert[format] || (taps == 1 && kernels()->tiles && fs_tiles_pay(format, channels));
}

int64_t fs_pixel_margin(const fs_convolution *op) {
  bool is_bfloat16 = op->format == FS_BFLOAT16, is_int8 = op->format == FS_INT8;
  if (!kernels()->tiles || !(is_bfloat16 || is_int8) || !fs_tiles_pay(op->format, op->channels)) return 0;
  return fs_tile_margin(op, is_int8 ? fs_int8_padded(op->channels) : 2 * fs_bfloat16_padded(op->channels));
}

int64_t fs_tile_rows(fs_format format, int64_t channels) {
  enum { BLOCK_OF_TILES = 32 };
  bool has_tiles = format == FS_INT8 || fs_tiles_pay(format, channels);
  return kernels()->tiles && has_tiles ? BLOCK_OF_TILES : 1;
}

void fs_convert_pixels(
  fs_format format, void *pixels, const float *input, int64_t input_stride, int64_t count, int64_t channels) {
  kernels()->convert[format](pixels, input, input_stride, count, channels);
}

void fs_winograd_patches(
  const fs_convolution *op, int64_t begin, int64_t end, int64_t first, int64_t last, float *patches) {
  kernels()->winograd_patches(op, begin, end, first, last, patches);
}

void fs_winograd(
  const fs_convolution *op, int64_t begin, int64_t end, int64_t panel_begin, int64_t panel_end, const float *patches,
  float *scratch) {
  kernels()->winograd(op, begin, end, panel_begin, panel_end, patches, scratch);
}

static fs_key_packing packing_of(int64_t keys, bool bfloat16) {
  fs_key_packing packing = kernels()->packing[bfloat16];
  return packing == FS_TILED_PIECES && !fs_key_pieces_pay(keys) ? FS_FLOAT_KEYS : packing;
}

// What these queries take stays in the second-level cache.
int64_t fs_attention_queries(int64_t dimension) { return dimension <= 64 ? 512 : 256; }

int64_t fs_attention_scratch_count(int64_t keys, int64_t dimension, bool bfloat16) {
  enum { WIDEST_TILE = 64, TILED_QUERIES = 32 };
  int64_t padded = fs_attention_padded(dimension), queries = fs_attention_queries(dimension);
  fs_key_packing packing = packing_of(keys, bfloat16);
  if (!fs_is_tiled(packing))
    return 2 * queries * (padded + 1) + fs_attention_key_block(dimension, packing) * WIDEST_TILE;
  return queries / TILED_QUERIES * fs_attention_tile_count(dimension, packing) + fs_attention_weight_count(packing);
}

int64_t fs_attention_blocks(int64_t keys, int64_t dimension, bool bfloat16) {
  int64_t block = fs_attention_key_block(dimension, packing_of(keys, bfloat16));
  return (keys + block - 1) / block;
}

int64_t fs_attention_packed_count(int64_t keys, int64_t dimension, bool bfloat16) {
  return fs_attention_blocks(keys, dimension, bfloat16) *
         fs_attention_block_count(dimension, packing_of(keys, bfloat16));
}

void fs_pack_keys(const fs_attention *op, int64_t begin, int64_t end) {
  kernels()->pack_keys[op->bfloat16](op, begin, end);
}

void fs_attend(const fs_attention *op, int64_t begin, int64_t end, float *scratch) {
  kernels()->attend[op->bfloat16](op, begin, end, scratch);
}

void fs_exp2(float *output, const float *input, int64_t count) { kernels()->exp2(output, input, count); }

void fs_activate(float *output, const float *input, int64_t count, fs_activation activation) {
  kernels()->activate(output, input, count, activation);
}

void fs_geglu(float *output, const float *input, int64_t rows, int64_t channels) {
  kernels()->geglu(output, input, rows, channels);
}

void fs_add(float *output, const float *left, const float *right, int64_t count, float scale) {
  kernels()->add(output, left, right, count, scale);
}

void fs_combine(
  float *output, const double *coefficients, const float *const *inputs, int64_t terms, const fs_noise *noises,
  int64_t noise_count, int64_t count) {
  kernels()->combine(output, coefficients, inputs, terms, noises, noise_count, count);
}

double fs_accumulate(
  float *sum, double carry, const double *coefficients, const float *const *inputs, int64_t terms, int64_t count) {
  return kernels()->accumulate(sum, carry, coefficients, inputs, terms, count);
}

double fs_inner_product(const float *left, const float *right, int64_t count) {
  return kernels()->inner_product(left, right, count);
}

double fs_sum(const float *input, int64_t count) { return kernels()->total_sum(input, count); }

void fs_clamp(float *values, int64_t count, float low, float high) { kernels()->clamp(values, count, low, high); }

void fs_half_to_float(float *output, const uint16_t *input, int64_t count) {
  kernels()->half_to_float(output, input, count);
}

void fs_float_to_half(uint16_t *output, const float *input, int64_t count) {
  kernels()->float_to_half(output, input, count);
}

void fs_channel_sums(double *sums, double *squares, const float *input, int64_t rows, int64_t channels) {
  kernels()->channel_sums(sums, squares, input, rows, channels);
}

void fs_scale_shift(
  float *output, const float *input, const float *gain, const float *shift, int64_t rows, int64_t channels, bool silu) {
  kernels()->scale_shift(output, input, gain, shift, rows, channels, silu);
}

void fs_layer_norm(
  float *output, const float *input, const float *gain, const float *shift, int64_t rows, int64_t channels,
  float epsilon) {
  kernels()->layer_norm(output, input, gain, shift, rows, channels, epsilon);
}
