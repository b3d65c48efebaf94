// Reading and writing 8-bit RGB PNG files in memory.
//
// libpng reports an error by longjmp, which must never cross a Swift frame. So every function here that calls into
// libpng where it can fail calls setjmp itself, and returns false with the reason in `message`. They keep no local
// state across the jump: what has changed by then lives in the reader or writer.

#ifndef FEWSTEP_PNG_H
#define FEWSTEP_PNG_H

#include <png.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FEWSTEP_PNG_MESSAGE_SIZE = 128 };

static inline void fewstep_png_fail(png_structp png, png_const_charp message) {
  snprintf((char *)png_get_error_ptr(png), FEWSTEP_PNG_MESSAGE_SIZE, "%s", message);
  png_longjmp(png, 1);
}

static inline void fewstep_png_ignore_warning(png_structp png, png_const_charp message) {
  (void)png;
  (void)message;
}

// MARK: Writing

typedef struct {
  png_structp png;
  png_infop info;
  uint8_t *bytes;
  size_t count;
  size_t capacity;
  char message[FEWSTEP_PNG_MESSAGE_SIZE];
} fewstep_png_writer;

static inline void fewstep_png_writer_append(png_structp png, png_bytep bytes, size_t count) {
  fewstep_png_writer *writer = (fewstep_png_writer *)png_get_io_ptr(png);
  if (count > writer->capacity - writer->count) {
    size_t capacity = 2 * writer->capacity + count;
    uint8_t *grown = (uint8_t *)realloc(writer->bytes, capacity);
    if (grown == NULL) png_error(png, "out of memory");
    writer->bytes = grown;
    writer->capacity = capacity;
  }
  memcpy(writer->bytes + writer->count, bytes, count);
  writer->count += count;
}

// Without a function of ours libpng would flush the writer as if it were a FILE.
static inline void fewstep_png_writer_flush(png_structp png) { (void)png; }

static inline void fewstep_png_writer_close(fewstep_png_writer *writer) {
  png_destroy_write_struct(&writer->png, &writer->info);
  free(writer->bytes);
  free(writer);
}

// NULL where there is no memory. The caller closes the writer, also after an error.
static inline fewstep_png_writer *fewstep_png_writer_open(void) {
  fewstep_png_writer *writer = (fewstep_png_writer *)calloc(1, sizeof *writer);
  if (writer == NULL) return NULL;
  writer->png = png_create_write_struct(
      PNG_LIBPNG_VER_STRING, writer->message, fewstep_png_fail, fewstep_png_ignore_warning);
  writer->info = writer->png == NULL ? NULL : png_create_info_struct(writer->png);
  if (writer->info == NULL) {
    fewstep_png_writer_close(writer);
    return NULL;
  }
  png_set_write_fn(writer->png, writer, fewstep_png_writer_append, fewstep_png_writer_flush);
  return writer;
}

// Queues one uncompressed text chunk, copied: iTXt where the text is UTF-8, tEXt where it is Latin-1.
static inline bool fewstep_png_writer_add_text(
    fewstep_png_writer *writer, const char *keyword, const char *text, bool is_utf8) {
  if (setjmp(png_jmpbuf(writer->png))) return false;
  png_text chunk;
  memset(&chunk, 0, sizeof chunk);
  chunk.compression = is_utf8 ? PNG_ITXT_COMPRESSION_NONE : PNG_TEXT_COMPRESSION_NONE;
  chunk.key = (char *)keyword;
  chunk.text = (char *)text;
  png_set_text(writer->png, writer->info, &chunk, 1);
  return true;
}

// Writes the whole file to `bytes`: queued text first, then `height * width * 3` values, row by row.
static inline bool fewstep_png_writer_finish(
    fewstep_png_writer *writer, const uint8_t *rgb, uint32_t width, uint32_t height) {
  if (setjmp(png_jmpbuf(writer->png))) return false;
  png_set_user_limits(writer->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
  png_set_IHDR(
      writer->png, writer->info, width, height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
      PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(writer->png, writer->info);
  for (uint32_t y = 0; y < height; y++) {
    png_write_row(writer->png, rgb + (size_t)y * width * 3);
  }
  png_write_end(writer->png, NULL);
  return true;
}

// MARK: Reading

typedef struct {
  png_structp png;
  png_infop info;
  const uint8_t *next;
  size_t remaining;
  uint32_t width;
  uint32_t height;
  png_textp texts;
  int text_count;
  char message[FEWSTEP_PNG_MESSAGE_SIZE];
} fewstep_png_reader;

static inline void fewstep_png_reader_take(png_structp png, png_bytep bytes, size_t count) {
  fewstep_png_reader *reader = (fewstep_png_reader *)png_get_io_ptr(png);
  if (count > reader->remaining) png_error(png, "the data ends too early");
  memcpy(bytes, reader->next, count);
  reader->next += count;
  reader->remaining -= count;
}

static inline void fewstep_png_reader_close(fewstep_png_reader *reader) {
  png_destroy_read_struct(&reader->png, &reader->info, NULL);
  free(reader);
}

// NULL where there is no memory. The bytes are borrowed until the caller closes the reader, also after an error.
static inline fewstep_png_reader *fewstep_png_reader_open(const uint8_t *bytes, size_t count) {
  fewstep_png_reader *reader = (fewstep_png_reader *)calloc(1, sizeof *reader);
  if (reader == NULL) return NULL;
  reader->next = bytes;
  reader->remaining = count;
  reader->png = png_create_read_struct(
      PNG_LIBPNG_VER_STRING, reader->message, fewstep_png_fail, fewstep_png_ignore_warning);
  reader->info = reader->png == NULL ? NULL : png_create_info_struct(reader->png);
  if (reader->info == NULL) {
    fewstep_png_reader_close(reader);
    return NULL;
  }
  png_set_read_fn(reader->png, reader, fewstep_png_reader_take);
  return reader;
}

// Reads up to the pixels and sets `width` and `height`, which libpng checks to be positive 31-bit numbers only.
static inline bool fewstep_png_reader_read_header(fewstep_png_reader *reader) {
  if (setjmp(png_jmpbuf(reader->png))) return false;
  png_set_user_limits(reader->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
  png_set_chunk_cache_max(reader->png, 128);  // libpng's 1000 would let compressed text of a few MB fill 8 GB
  png_set_crc_action(reader->png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
  png_read_info(reader->png, reader->info);
  reader->width = png_get_image_width(reader->png, reader->info);
  reader->height = png_get_image_height(reader->png, reader->info);
  return true;
}

// Reads the rest of the file, after its header: `height * width * 3` values, whatever its pixels were, and `texts`.
static inline bool fewstep_png_reader_read_pixels(fewstep_png_reader *reader, uint8_t *rgb) {
  if (setjmp(png_jmpbuf(reader->png))) return false;
  png_set_expand(reader->png);
  png_set_scale_16(reader->png);
  png_set_gray_to_rgb(reader->png);
  png_set_strip_alpha(reader->png);
  int passes = png_set_interlace_handling(reader->png);
  png_read_update_info(reader->png, reader->info);
  size_t row = (size_t)reader->width * 3;
  if (png_get_rowbytes(reader->png, reader->info) != row) png_error(reader->png, "the pixels do not convert to RGB");
  for (int pass = 0; pass < passes; pass++) {
    for (uint32_t y = 0; y < reader->height; y++) {
      png_read_row(reader->png, rgb + (size_t)y * row, NULL);
    }
  }
  png_read_end(reader->png, reader->info);
  reader->text_count = png_get_text(reader->png, reader->info, &reader->texts, NULL);
  return true;
}

#endif
