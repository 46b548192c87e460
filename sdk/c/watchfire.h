// What makes a Watchfire plugin in C short: texts, configuration and labels over the generated bindings.
//
// `plugin.h` is generated from the contract (`sdk/wit/watchfire.wit`) by `watchfire plugin build`; its comments are the
// reference. Everything that a plugin hands out is freed by the bindings after the call, so it must come from
// `malloc`: the functions below see to that. Everything that it is handed belongs to it, to be freed with the generated
// `..._free`.

#ifndef WATCHFIRE_H
#define WATCHFIRE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef plugin_string_t wf_text;

/// A text as `printf` writes it, in memory of its own.
static inline wf_text wf_format(const char *format, ...) {
  va_list first, second;
  va_start(first, format);
  va_copy(second, first);
  int length = vsnprintf(NULL, 0, format, first);
  va_end(first);
  wf_text text = {NULL, 0};
  if (length > 0 && (text.ptr = (uint8_t *)malloc((size_t)length + 1))) {
    vsnprintf((char *)text.ptr, (size_t)length + 1, format, second);
    text.len = (size_t)length;
  }
  va_end(second);
  return text;
}

/// A copy of a text in memory of its own.
static inline wf_text wf_copy(const char *text) { return wf_format("%s", text); }

/// A text that is only read, such as the name of a label that is asked for.
static inline wf_text wf_literal(const char *text) {
  wf_text literal = {(uint8_t *)text, strlen(text)};
  return literal;
}

static inline bool wf_equal(wf_text text, const char *other) {
  return text.len == strlen(other) && memcmp(text.ptr, other, text.len) == 0;
}

/// Looks a label or an annotation up; answers whether it is there.
static inline bool wf_find(plugin_list_tuple2_string_string_t pairs, const char *name, wf_text *value) {
  for (size_t i = 0; i < pairs.len; i++) {
    if (wf_equal(pairs.ptr[i].f0, name)) {
      *value = pairs.ptr[i].f1;
      return true;
    }
  }
  return false;
}

/// What a field of the configuration is.
typedef enum { WF_ABSENT, WF_NUMBER, WF_TEXT, WF_OTHER } wf_kind;

/// Skips one JSON value that begins at `at`; answers where it ends. The host hands out valid JSON only.
static inline size_t wf_json_end(wf_text json, size_t at) {
  int depth = 0;
  bool quoted = false;
  for (; at < json.len; at++) {
    char c = (char)json.ptr[at];
    if (quoted) {
      if (c == '\\') at++;
      else if (c == '"') quoted = false;
      if (!quoted && depth == 0) return at + 1;
      continue;
    }
    if (c == '"') quoted = true;
    else if (c == '{' || c == '[') depth++;
    else if (c == '}' || c == ']') {
      if (depth == 0) return at;
      if (--depth == 0) return at + 1;
    } else if (c == ',' && depth == 0) return at;
  }
  return at;
}

/// The number that four hexadecimal digits spell.
static inline uint32_t wf_hex4(const uint8_t *at) {
  char digits[5] = {0};
  memcpy(digits, at, 4);
  return (uint32_t)strtoul(digits, NULL, 16);
}

/// Writes a character as UTF-8; answers how many bytes it takes.
static inline size_t wf_utf8(uint32_t character, uint8_t *out) {
  if (character < 0x80) {
    out[0] = (uint8_t)character;
    return 1;
  }
  size_t more = character < 0x800 ? 1 : character < 0x10000 ? 2 : 3;
  static const uint8_t first[] = {0, 0xc0, 0xe0, 0xf0};
  for (size_t i = more; i > 0; i--, character >>= 6) out[i] = (uint8_t)(0x80 | (character & 0x3f));
  out[0] = (uint8_t)(first[more] | character);
  return more + 1;
}

/// What stands between the quotes of a JSON string, in memory of its own with a zero byte behind it. A `\u0000` is a zero
/// byte, too: what reads up to one ends there, and `len` counts what follows.
static inline wf_text wf_unquote(wf_text quoted) {
  static const char marks[] = "bfnrt", meant[] = "\b\f\n\r\t";
  wf_text text = {(uint8_t *)malloc(quoted.len + 1), 0};
  for (size_t at = 0; text.ptr && at < quoted.len; at++) {
    uint8_t c = quoted.ptr[at];
    if (c == '\\' && at + 1 < quoted.len) {
      c = quoted.ptr[++at];
      const char *mark = strchr(marks, c);
      if (mark) c = (uint8_t)meant[mark - marks];
      if (c == 'u' && at + 4 < quoted.len) {
        uint32_t character = wf_hex4(quoted.ptr + at + 1);
        at += 4;
        // What is beyond the first 65,536 characters is written as a pair; half of one means nothing.
        bool is_high = character >= 0xd800 && character < 0xdc00;
        if (is_high && at + 6 < quoted.len && quoted.ptr[at + 1] == '\\' && quoted.ptr[at + 2] == 'u') {
          uint32_t low = wf_hex4(quoted.ptr + at + 3);
          if (low >= 0xdc00 && low < 0xe000) {
            character = 0x10000 + ((character - 0xd800) << 10) + (low - 0xdc00);
            at += 6;
          }
        }
        if (character >= 0xd800 && character < 0xe000) character = 0xfffd;
        text.len += wf_utf8(character, text.ptr + text.len);
        continue;
      }
    }
    text.ptr[text.len++] = c;
  }
  if (text.ptr) text.ptr[text.len] = 0;
  return text;
}

/// Looks up a field of the configuration, which is one JSON object. A number is given in `number`, a text in `text` in
/// memory of its own with a zero byte behind it; either may be NULL.
static inline wf_kind wf_config(wf_text json, const char *name, double *number, wf_text *text) {
  size_t at = 0;
  while (at < json.len && json.ptr[at] != '{') at++;
  for (at++; at < json.len;) {
    while (at < json.len && strchr(" \t\r\n,", (char)json.ptr[at])) at++;
    if (at >= json.len || json.ptr[at] != '"') break;
    size_t key_end = wf_json_end(json, at);
    wf_text key = {json.ptr + at + 1, key_end - at - 2};
    at = key_end;
    while (at < json.len && strchr(" \t\r\n:", (char)json.ptr[at])) at++;
    size_t end = wf_json_end(json, at);
    if (wf_equal(key, name)) {
      char first = (char)json.ptr[at];
      if (first == '"') {
        wf_text value = {json.ptr + at + 1, end - at - 2};
        if (text) *text = wf_unquote(value);
        return WF_TEXT;
      }
      if (first == '-' || (first >= '0' && first <= '9')) {
        wf_text digits = wf_format("%.*s", (int)(end - at), (const char *)json.ptr + at);
        if (number) *number = digits.ptr ? strtod((const char *)digits.ptr, NULL) : 0;
        free(digits.ptr);
        return WF_NUMBER;
      }
      return WF_OTHER;
    }
    at = end;
  }
  return WF_ABSENT;
}

/// A field of the configuration as a text of its own, or a copy of what stands in for it; NULL where it is no text.
static inline char *wf_config_text(wf_text json, const char *name, const char *otherwise) {
  wf_text text;
  switch (wf_config(json, name, NULL, &text)) {
    case WF_TEXT: return (char *)text.ptr;
    case WF_ABSENT: return strdup(otherwise);
    default: return NULL;
  }
}

/// The configuration cannot be used: where (a JSON pointer such as `/limit`), and what would be right.
static inline bool wf_invalid(watchfire_plugin_types_plugin_error_t *error, const char *path, const char *message) {
  error->tag = WATCHFIRE_PLUGIN_TYPES_PLUGIN_ERROR_INVALID_CONFIG;
  error->val.invalid_config.path = wf_copy(path);
  error->val.invalid_config.message = wf_copy(message);
  return false;
}

/// Announces the one thing that the plugin offers. Where the layout of its state changes, raise `list->ptr[0].state_version`
/// afterwards.
static inline void wf_describe(exports_watchfire_plugin_plugin_list_descriptor_t *list, uint8_t kind, const char *name,
                               const char *summary, const char *schema) {
  list->ptr = (exports_watchfire_plugin_plugin_descriptor_t *)calloc(1, sizeof *list->ptr);
  list->len = 1;
  list->ptr[0].kind = kind;
  list->ptr[0].name = wf_copy(name);
  list->ptr[0].summary = wf_copy(summary);
  list->ptr[0].config_schema = wf_copy(schema);
  list->ptr[0].state_version = 1;
}

#ifdef __cplusplus
}
#endif

#endif
