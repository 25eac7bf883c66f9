/*
 * CLIP's byte-level byte-pair encoding: loading (vocab.json + merges.txt, or tokenizer.json), encoding,
 * training, saving.
 */
#ifndef ONS_TEXT_TOKENIZER_H
#define ONS_TEXT_TOKENIZER_H

#include "base/status.h"

typedef struct ons_tokenizer ons_tokenizer;

/* A diffusers tokenizer folder of either generation; context length (model_max_length) from
 * tokenizer_config.json, else 77. */
onestep_status ons_tokenizer_open(const char *folder, ons_tokenizer **out) ONESTEP_CHECK;
void ons_tokenizer_close(ons_tokenizer **t);

/*
 * Learns merges from `n` captions until the vocabulary has `vocab_size` entries (512 byte symbols, merges,
 * start, end) or no pair occurs twice. Deterministic: ties go to the pair that is smaller bytewise. context:
 * tokens per caption incl. start and end.
 */
onestep_status ons_tokenizer_train(const char *const *captions, size_t n, int vocab_size, int context,
                                   ons_tokenizer **out) ONESTEP_CHECK;
/* Writes vocab.json, merges.txt, tokenizer_config.json, special_tokens_map.json, readable by transformers'
 * CLIPTokenizer. */
onestep_status ons_tokenizer_save(const ons_tokenizer *t, const char *folder) ONESTEP_CHECK;

int ons_tokenizer_vocab_size(const ons_tokenizer *t);
int ons_tokenizer_context(const ons_tokenizer *t);
int ons_tokenizer_start_id(const ons_tokenizer *t);
int ons_tokenizer_end_id(const ons_tokenizer *t);
int ons_tokenizer_pad_id(const ons_tokenizer *t);
void ons_tokenizer_set_pad_id(ons_tokenizer *t, int id);         /* an id of the vocabulary */
const char *ons_tokenizer_token(const ons_tokenizer *t, int id); /* "cat</w>"; NULL out of range */

/*
 * Encodes into ids[context]: start, tokens, end, padding. *used (may be NULL) gets the number of ids before
 * padding, *rest (may be NULL) the offset of the first byte of `prompt` that did not fit, or strlen(prompt).
 * Any byte sequence is accepted.
 */
onestep_status ons_tokenizer_encode(const ons_tokenizer *t, const char *prompt, int32_t *ids, int *used,
                                    size_t *rest) ONESTEP_CHECK;

#endif
