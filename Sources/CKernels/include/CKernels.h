// What BLAS does not have, for activations in NHWC order and fp32.
//
// Every function has one portable version and faster ones chosen at run time by what the CPU can do. None allocates but
// for fs_thread_scratch, none starts a thread: callers split the work and own the memory. Sums run in an order that
// depends on the length of the reduced dimension alone, so that a result never depends on how the rest was split.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// The instruction set in use: "amx", "avx512bf16" (with VNNI), "avx512vnni", "avx512", "avxvnni", "avx2" or "portable".
// The environment variable FEWSTEP_ISA can ask for a lower one than the CPU has. "amx" is asked of the system for the
// whole process when the first kernel is called.
const char *fs_isa_name(void);

// Makes the instruction set called `name` the one in use, by the calling thread and in the tasks that it gives to a
// pool; false where the CPU lacks it or nobody knows the name.
bool fs_isa_select(const char *name);

// --- Threads (pool.c)

typedef struct fs_pool fs_pool;

// A pool of `threads` threads, the caller of fs_pool_run being one of them; NULL where they cannot be had.
fs_pool *fs_pool_create(int threads);

// Calls body(context, task) for every task below `tasks`, on all threads, and returns when all are done. A call from
// within a body, or while another thread's call is under way, runs its tasks one after another.
void fs_pool_run(fs_pool *pool, int64_t tasks, void (*body)(void *context, int64_t task), void *context);

// Keeps every fs_pool_run to its caller's thread, from when no job is under way until the thread that held the pool
// releases it.
void fs_pool_hold(fs_pool *pool);
void fs_pool_release(fs_pool *pool);

// At least `bytes` of the calling thread's own, on a cache line, with anything in them; the same memory at every call,
// or in its place larger. For one task at a time.
void *fs_thread_scratch(size_t bytes);

// --- Memory (memory.c)

// Gives freed memory back to the system, where the allocator would keep it for later.
void fs_release_memory(void);

// --- Convolution and linear layers (gemm_body.h, halves_body.h, bfloat16_body.h, int8_body.h,
// tiles_convolution_body.h, pieces_convolution_body.h, packing.c)

// Outputs per panel of packed weights.
enum { FS_PANEL = 32 };

// What packed weights are stored as; sums are of floats.
//
// FS_FLOAT32: from 320 channels on "amx" adds up products of pieces (pieces_body.h), which loses no more. But it takes
// subnormal numbers for 0, numbers near them lose their last bits, and infinity and numbers beyond 3.38e38 make NaN.
// FS_FLOAT16: halves, widened before the product, which is that of floats.
// FS_BFLOAT16: the upper halves of floats. "avx512bf16" and "amx" round the inputs to the same, add products by pairs
// and take subnormal numbers for 0; the others widen the weights and leave the inputs as they are. So the instruction
// sets differ by up to a rounding of every input, 2^-8 of it.
// FS_INT8: per output, 127 steps to either side of 0 up to the largest weight. Every input pixel is rounded to 255
// steps from its least to its largest channel, 0 included. Sums over the channels of a tap are exact, and all
// instruction sets give the same bits.
typedef enum { FS_FLOAT32, FS_FLOAT16, FS_BFLOAT16, FS_INT8 } fs_format;

// The bytes of the packed weights of `outputs` x `channels` x `taps`.
int64_t fs_packed_bytes(fs_format format, int64_t outputs, int64_t channels, int64_t taps);

// Packs one panel of weights given as [outputs, channels, taps] (taps 1 for a linear layer), to the nearest numbers of
// the format.
void fs_pack_weights(
  fs_format format, void *packed, const float *weights, int64_t outputs, int64_t channels, int64_t taps,
  int64_t panel);

// Whether the instruction set in use rounds the inputs of FS_BFLOAT16 to bfloat16.
bool fs_rounds_inputs(void);

// How many direct products with weights of a format, with FS_INT8 aside, take the time of one of floats.
int64_t fs_direct_products(fs_format format);

// The bytes of an input pixel of a format, as fs_convert_pixels makes it; 0 where there are only floats.
int64_t fs_pixel_bytes(fs_format format, int64_t channels);

// Whether fs_convolve reads floats, which it may convert itself; it takes pixels too where there are any.
bool fs_reads_floats(fs_format format, int64_t channels, int64_t taps);

// Parts of a convolution best hold a multiple of so many output rows.
int64_t fs_tile_rows(fs_format format, int64_t channels);

// Converts `count` pixels, the first at `input` and `input_stride` floats apart, where fs_pixel_bytes is not 0. For
// FS_INT8, a pixel that holds NaN or infinity makes every output that reads it NaN.
void fs_convert_pixels(
  fs_format format, void *pixels, const float *input, int64_t input_stride, int64_t count, int64_t channels);

// output[row, n] = (sum over taps and channels of input x weight + bias[n] + image_bias[image, n] + residual[row, n])
// x scale. A linear layer is a 1x1 convolution of a picture one row high.
typedef struct {
  const float *input;       // [images, height, width, channels]; height and width before `upsampling`
  int64_t input_stride;     // floats from one input pixel to the next
  int64_t height, width, channels;
  int64_t upsampling;       // each input pixel is read as a square of this side, 1 or 2
  int64_t out_height, out_width;
  int64_t kernel_height, kernel_width, stride, pad_top, pad_left;
  const void *pixels;       // of the format: fs_convolve reads these instead of `input`, unless they are NULL
  int64_t margin;           // pixels of zero bytes around every picture of `pixels`
  const float *zeros;       // at least `channels` + 2 zeros, read outside the picture
  const void *weights;      // packed
  fs_format format;         // of the weights; for FS_INT8 there are at most 65536 channels
  int64_t outputs;
  const float *bias;        // [outputs] or NULL
  const float *image_bias;  // [images, outputs] or NULL
  const float *residual;    // [rows, outputs] or NULL
  float scale;
  // Outputs are FS_PANEL / 2 values and their gates by turns, as many as fill panels: what is written is each value, as
  // above but with bias alone, x gelu(its gate), in rows of outputs / 2.
  bool gated;
  float *output;            // [rows, outputs], not aliasing `input`
  void *output_pixels;      // gated outputs go here instead, as pixels of FS_BFLOAT16, unless it is NULL
} fs_convolution;

// The margin with which the pixels of a convolution, given by its sizes, are best stored.
int64_t fs_pixel_margin(const fs_convolution *op);

// Computes output rows (pixels of all images, counted through) row_begin ..< row_end of the weight panels
// panel_begin ..< panel_end.
void fs_convolve(
  const fs_convolution *op, int64_t row_begin, int64_t row_end, int64_t panel_begin, int64_t panel_end);

// --- Winograd's convolution, 3x3 and of stride 1 (winograd_body.h); of all formats but FS_INT8, with float inputs, to
// more than 4 outputs

// The number of tiles of one image, of 4x4 or 6x6 outputs.
int64_t fs_winograd_tiles(const fs_convolution *op);

// The multiplications per tile and weight.
int64_t fs_winograd_products(const fs_convolution *op);

// What one image costs in multiplications per weight, the transforms of the weights included.
int64_t fs_winograd_cost(const fs_convolution *op);

// The number of floats that the transformed patches of `tiles` tiles take.
int64_t fs_winograd_patch_count(const fs_convolution *op, int64_t tiles);

// The number of floats of scratch that fs_winograd takes for `tiles` tiles.
int64_t fs_winograd_scratch_count(const fs_convolution *op, int64_t tiles);

// Transforms the patches of the tiles first ..< last (of all images, counted through), as part of what
// fs_winograd needs for begin ..< end.
void fs_winograd_patches(
  const fs_convolution *op, int64_t begin, int64_t end, int64_t first, int64_t last, float *patches);

// Computes the tiles begin ..< end of the weight panels panel_begin ..< panel_end.
void fs_winograd(
  const fs_convolution *op, int64_t begin, int64_t end, int64_t panel_begin, int64_t panel_end, const float *patches,
  float *scratch);

// --- Attention (attention_body.h, attention_bfloat16_body.h, attention_tiles_body.h)

// One head of one image: output[q] = sum over keys of softmax(scale x query[q] . key) x value. A query whose scores
// hold NaN or +infinity gets NaN in all columns; with AMX, of floats and 128 keys or more, also one whose scores hold
// -infinity.
typedef struct {
  const float *query;
  int64_t query_stride;     // floats from one query to the next
  const float *key, *value;
  int64_t key_stride;       // of both
  int64_t keys;             // below 2^31
  int64_t dimension;
  float scale;
  bool causal;              // query q sees keys 0 ... q
  bool bfloat16;            // the operands of both products are rounded to bfloat16, their sums are not
  float *packed;            // of fs_attention_packed_count: what fs_pack_keys makes of keys and values
  float *output;
  int64_t output_stride;
} fs_attention;

// Keys are packed in blocks, each by itself.
int64_t fs_attention_blocks(int64_t keys, int64_t dimension, bool bfloat16);
int64_t fs_attention_packed_count(int64_t keys, int64_t dimension, bool bfloat16);
void fs_pack_keys(const fs_attention *op, int64_t block_begin, int64_t block_end);

// The number of floats of scratch, which lies, as `packed` does, at a multiple of 64 bytes.
int64_t fs_attention_scratch_count(int64_t keys, int64_t dimension, bool bfloat16);

// Queries that share a block of keys while it is in the cache: what a caller best gives a thread at once.
int64_t fs_attention_queries(int64_t dimension);

// Computes queries begin ..< end from packed keys.
void fs_attend(const fs_attention *op, int64_t begin, int64_t end, float *scratch);

// output = 2^input for input <= 0, as attention takes it: off by less than one unit in the last place, two where there
// is no fused multiply-add; 0 below -126.5. NaN stays NaN.
void fs_exp2(float *output, const float *input, int64_t count);

// --- Elementwise passes (elementwise_body.h)

typedef enum { FS_SILU, FS_GELU, FS_QUICK_GELU, FS_RELU, FS_MISH } fs_activation;

// output = activation(input), in place where they are the same. NaN stays NaN.
void fs_activate(float *output, const float *input, int64_t count, fs_activation activation);

// output[row, c] = input[row, c] x gelu(input[row, channels + c])
void fs_geglu(float *output, const float *input, int64_t rows, int64_t channels);

// output = (left + right) x scale
void fs_add(float *output, const float *left, const float *right, int64_t count, float scale);

// --- States of samplers (state_body.h)

// Standard normal noise: z = f(seed, image, stream, element), times a coefficient.
typedef struct {
  double coefficient;
  uint64_t seed;
  uint32_t image;
  uint32_t stream;
} fs_noise;

// output = sum of coefficients[i] x inputs[i] and of the noises, each element summed in double and rounded once; output
// may be one of the inputs. Noises alone have the same bits on every instruction set; products with inputs are fused
// where it can, and so terms that cancel may leave other last bits.
void fs_combine(
  float *output, const double *coefficients, const float *const *inputs, int64_t terms, const fs_noise *noises,
  int64_t noise_count, int64_t count);

// sum = carry x sum + difference, the difference being the sum of coefficients[i] x inputs[i], in single precision and
// with the same bits on every instruction set; returns the sum of the squares of the difference. The inputs are not
// `sum`.
double fs_accumulate(
  float *sum, double carry, const double *coefficients, const float *const *inputs, int64_t terms, int64_t count);

// Sums in double, in an order that depends on the count and the instruction set alone: from set to set the last bits
// differ.
double fs_inner_product(const float *left, const float *right, int64_t count);
double fs_sum(const float *input, int64_t count);

// Limits to low ... high; what is not a number stays so.
void fs_clamp(float *values, int64_t count, float low, float high);

// Conversions, round to nearest even.
void fs_half_to_float(float *output, const uint16_t *input, int64_t count);
void fs_float_to_half(uint16_t *output, const float *input, int64_t count);

// --- Norms (norm_body.h)

// Adds each channel's sum and sum of squares over `rows` rows to sums[channels] and squares[channels].
void fs_channel_sums(double *sums, double *squares, const float *input, int64_t rows, int64_t channels);

// output[row, c] = input[row, c] x gain[c] + shift[c], then SiLU where asked for.
void fs_scale_shift(
  float *output, const float *input, const float *gain, const float *shift, int64_t rows, int64_t channels, bool silu);

// Each row normalised to mean 0 and variance 1, then x gain[c] + shift[c].
void fs_layer_norm(
  float *output, const float *input, const float *gain, const float *shift, int64_t rows, int64_t channels,
  float epsilon);

#ifdef __cplusplus
}
#endif
