// positions.c: pages of bits in a sorted array. A page whose last bit goes is freed.
#include "verify/positions.h"

#include <stdlib.h>
#include <string.h>

#define PAGE_BITS 65536
#define WORDS (PAGE_BITS / 64)

struct positions_page {
	int64_t number; // position / PAGE_BITS
	uint32_t set;   // bits
	uint64_t words[WORDS];
};

// The index of the first page at or above the number.
static size_t find(const struct positions *positions, int64_t number)
{
	size_t low = 0, high = positions->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (positions->pages[middle]->number < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct positions_page *page_of(const struct positions *positions, int64_t position)
{
	size_t index = find(positions, position / PAGE_BITS);
	bool there = index < positions->count && positions->pages[index]->number == position / PAGE_BITS;
	return there ? positions->pages[index] : NULL;
}

static struct positions_page *add_page(struct positions *positions, int64_t number)
{
	if (positions->count == positions->capacity) {
		size_t capacity = positions->capacity == 0 ? 16 : 2 * positions->capacity;
		struct positions_page **pages = realloc(positions->pages, capacity * sizeof(struct positions_page *));
		if (pages == NULL)
			return NULL;
		positions->pages = pages;
		positions->capacity = capacity;
	}
	struct positions_page *page = calloc(1, sizeof(*page));
	if (page == NULL)
		return NULL;
	page->number = number;
	size_t index = find(positions, number);
	memmove(positions->pages + index + 1, positions->pages + index,
		(positions->count - index) * sizeof(struct positions_page *));
	positions->pages[index] = page;
	positions->count++;
	return page;
}

static uint64_t *word_of(struct positions_page *page, int64_t position, uint64_t *ret_bit)
{
	size_t bit = (size_t)(position % PAGE_BITS);
	*ret_bit = (uint64_t)1 << bit % 64;
	return &page->words[bit / 64];
}

bool positions_add(struct positions *positions, int64_t position, struct meow_error *err)
{
	struct positions_page *page = page_of(positions, position);
	if (page == NULL && (page = add_page(positions, position / PAGE_BITS)) == NULL)
		return error_no_memory(err);
	uint64_t bit, *word = word_of(page, position, &bit);
	page->set += (*word & bit) == 0;
	*word |= bit;
	return true;
}

bool positions_has(const struct positions *positions, int64_t position)
{
	struct positions_page *page = page_of(positions, position);
	uint64_t bit;
	return page != NULL && (*word_of(page, position, &bit) & bit) != 0;
}

void positions_remove(struct positions *positions, int64_t position)
{
	struct positions_page *page = page_of(positions, position);
	uint64_t bit, *word = word_of(page, position, &bit);
	*word &= ~bit;
	if (--page->set > 0)
		return;
	size_t index = find(positions, page->number);
	free(page);
	positions->count--;
	memmove(positions->pages + index, positions->pages + index + 1,
		(positions->count - index) * sizeof(struct positions_page *));
}

bool positions_next(const struct positions *positions, int64_t from, int64_t *ret_position)
{
	for (size_t index = find(positions, from / PAGE_BITS); index < positions->count; index++) {
		const struct positions_page *page = positions->pages[index];
		size_t start = page->number == from / PAGE_BITS ? (size_t)(from % PAGE_BITS) : 0;
		for (size_t word = start / 64; word < WORDS; word++) {
			uint64_t bits = page->words[word];
			if (word == start / 64)
				bits &= ~(uint64_t)0 << start % 64;
			if (bits == 0)
				continue;
			*ret_position = page->number * PAGE_BITS + (int64_t)(word * 64) + __builtin_ctzll(bits);
			return true;
		}
	}
	return false;
}

int64_t positions_last_near(const struct positions *positions, int64_t position)
{
	const struct positions_page *page = page_of(positions, position);
	size_t word = WORDS - 1;
	while (word > 0 && page->words[word] == 0)
		word--;
	return page->number * PAGE_BITS + (int64_t)(word * 64) + 63 - __builtin_clzll(page->words[word]);
}

void positions_clear(struct positions *positions)
{
	for (size_t i = 0; i < positions->count; i++)
		free(positions->pages[i]);
	free(positions->pages);
	*positions = (struct positions){0};
}
