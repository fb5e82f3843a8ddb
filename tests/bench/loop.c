/*
 * The replay loop written by hand in C: the peer of pvreplay/replay/_loop_cy.py.
 *
 * It does the same work on the same 16-byte events, all kinds of them, checks
 * what it indexes with, counts per (unit, CPU, task) and interns sequences; the
 * benchmark holds its counts against ours before it prints a time.
 *
 *     loop SETUP EVENTS RUNS        times of RUNS runs in ns, then the counts
 *
 * SETUP is 32-bit words: cpus, tasks, ops, pairs of "runs on", the six rules of
 * the kernel, then 6 words a task, then 2 words a pair (see of_loop.py).
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef uint32_t u32;
typedef uint64_t u64;

enum {
	SWITCH = 1, ON, FPU, EXEC, FORK, EXIT, TLS, LDT, IOPL, IO_BITMAP, DR, NOTSC, GS, FLUSH_IPI, ENTER_MMU,
	LEAVE_MMU, SET_PTE, READ_PTE, IRQ_ENTER, IRQ_EXIT, NMI_ENTER, NMI_EXIT, FAULT_ENTER, FAULT_EXIT, SLEEP,
	USER, FLUSH, LOST, BEGIN, OP, END, FOR, BLOCKSTEP, KERNEL_FPU, PARK = 0x80, RESUME
};

/* task flags, at the "prev" bit of a shape; the "next" bit is one above */
#define F_USED_MATH (1u << 2)
#define F_NO_MM (1u << 3)
#define F_USEDFPU (1u << 5) /* without lazy FPU: a user task */
#define F_GS (1u << 9)
#define F_DR (1u << 11)
#define F_IO_BITMAP (1u << 13)
#define F_NOTSC (1u << 15)
#define F_BLOCKSTEP (1u << 17)
#define F_PARKED (1u << 21)
#define F_COUNTER 0xff000000u
#define F_PLAIN (F_NO_MM | F_GS | F_DR | F_IO_BITMAP | F_NOTSC | F_BLOCKSTEP)

struct task {
	u32 flags, mm, tls[3], id, unused[2];
};

enum { TLB_INIT, TLB_OK, TLB_LAZY };

struct cpu {
	struct task *cur, *target;
	u64 time;
	u32 active_mm;
	uint8_t tlb, own_bit, started, deep;
	struct task idle;
	/* the open sequence */
	u64 *items, seq_event, seq_time;
	u32 len, room, seq_prev, mmu, irq, nmi, fault;
	uint8_t open, window, after, switched, worth;
};

struct slot {
	u64 key, count;
};

struct first {
	u64 key, event_prev, time;
};

static u32 nr_cpus, nr_tasks, nr_ops, lazy_fpu, eager_from, any_math, resets, parks, dropped;
static struct cpu *cpus;
static struct task *tasks;
static u32 *ldt;
static struct slot *table;
static struct first *firsts;
static u64 bits, rows, row_limit;
static u64 *arena, arena_used, arena_room, nr_seqs;
static u64 *seq_table, seq_bits;
static u64 switches, selfs, disorder, lost, lost_unknown, unmatched, earliest, latest;

#define HASH 0x1E3779B97F4A7C15ull
#define MM_MAX (1u << 24)

static void *zeroed(u64 count, u64 size)
{
	void *p = aligned_alloc(64, (count * size + 63) / 64 * 64);
	if (!p)
		exit(3);
	memset(p, 0, count * size);
	return p;
}

/* A quarter full at most while it fits the caches, three quarters after that. */
static void size_table(u64 new_bits)
{
	bits = new_bits;
	row_limit = (1ull << bits) / 4 * (bits < 16 ? 1 : 3);
	table = zeroed(1ull << bits, sizeof(*table));
	firsts = realloc(firsts, row_limit * sizeof(*firsts));
}

static void more_table(void)
{
	struct slot *old = table;
	u64 size = 1ull << bits, i;

	size_table(bits + (bits < 16 ? 2 : 1));
	for (i = 0; i < size; i++) {
		u64 at = old[i].key * HASH >> (64 - bits);
		if (!old[i].count)
			continue;
		while (table[at].count)
			at = (at + 1) & ((1ull << bits) - 1);
		table[at] = old[i];
	}
	free(old);
}

static inline void count(u64 key, u64 event, u64 prev, u64 time)
{
	u64 at = key * HASH >> (64 - bits);

	while (table[at].key != key || !table[at].count) {
		if (!table[at].count) {
			if (rows >= row_limit) {
				more_table();
				at = key * HASH >> (64 - bits);
				continue;
			}
			table[at].key = key;
			firsts[rows++] = (struct first){key, event | prev << 40, time};
			break;
		}
		at = (at + 1) & ((1ull << bits) - 1);
	}
	table[at].count++;
}

static inline u64 key_of(u64 payload, u64 cpu, u64 task)
{
	return payload | cpu << 27 | task << 40;
}

static void push(struct cpu *c, u64 kind, u64 payload, u32 worth, u64 event, u64 time)
{
	if (!c->open) {
		c->open = 1;
		c->len = 0;
		c->seq_event = event;
		c->seq_time = time;
		c->seq_prev = c->cur->id;
	}
	c->worth |= worth;
	if (kind == SET_PTE && c->len && c->items[c->len - 1] >> 56 == SET_PTE &&
	    (c->items[c->len - 1] << 8 >> 8) + payload < 1ull << 56) {
		c->items[c->len - 1] += payload;
		return;
	}
	if (c->len == c->room) {
		c->room = c->room ? c->room * 4 : 64;
		c->items = realloc(c->items, c->room * 8ull);
	}
	c->items[c->len++] = kind << 56 | payload;
}

static u64 hash_items(const u64 *items, u64 len)
{
	u64 h = len, i;

	for (i = 0; i < len; i++) {
		h = (h ^ items[i]) * HASH;
		h ^= h >> 29;
	}
	return h;
}

/* Sequences stand in the arena one after the other: number << 32 | length, then the items. */
static u64 intern(const u64 *items, u64 len)
{
	u64 h = hash_items(items, len), at, from;

	if (nr_seqs * 2 >= 1ull << seq_bits) {
		free(seq_table);
		seq_table = zeroed(1ull << ++seq_bits, 8);
		for (from = 0; from < arena_used; from += 1 + (u32)arena[from]) {
			u64 g = hash_items(arena + from + 1, (u32)arena[from]);
			for (at = g & ((1ull << seq_bits) - 1); seq_table[at]; at = (at + 1) & ((1ull << seq_bits) - 1))
				;
			seq_table[at] = g >> 40 << 40 | (from + 1);
		}
	}
	for (at = h & ((1ull << seq_bits) - 1); seq_table[at]; at = (at + 1) & ((1ull << seq_bits) - 1)) {
		if (seq_table[at] >> 40 != h >> 40)
			continue;
		from = (seq_table[at] & 0xffffffffff) - 1;
		if ((u32)arena[from] == len && !memcmp(arena + from + 1, items, len * 8))
			return arena[from] >> 32;
	}
	if (arena_used + len + 1 > arena_room) {
		arena_room = arena_room * 2 + len + 1;
		arena = realloc(arena, arena_room * 8);
	}
	seq_table[at] = h >> 40 << 40 | (arena_used + 1);
	arena[arena_used] = nr_seqs << 32 | len;
	memcpy(arena + arena_used + 1, items, len * 8);
	arena_used += len + 1;
	return nr_seqs++;
}

static void close_seq(struct cpu *c)
{
	u64 number;

	c->open = c->window = c->after = c->switched = 0;
	if (c->worth) {
		number = intern(c->items, c->len);
		count(key_of((1u << 26) + 2 + number, c - cpus, c->cur->id), c->seq_event, c->seq_prev, c->seq_time);
	}
	c->worth = 0;
	c->len = 0;
}

static inline void use_mm(struct cpu *c, u32 mm)
{
	c->active_mm = mm;
	c->tlb = TLB_OK;
	c->own_bit = 1;
}

static inline void enter_lazy_tlb(struct cpu *c)
{
	if (c->tlb == TLB_OK)
		c->tlb = TLB_LAZY;
}

static inline u32 unlazy(u32 flags)
{
	return flags & (0xffffff - (lazy_fpu ? F_USEDFPU : 0) + (flags & F_USEDFPU ? F_COUNTER : 0));
}

static inline struct task *task_of(struct cpu *c, u32 id)
{
	return id ? tasks + id : &c->idle;
}

static u64 shape_of(const struct cpu *c, const struct task *prev, const struct task *next, u32 *eager)
{
	u32 pf = prev->flags, nf = next->flags;
	u32 user = next->mm != 0, same = next->mm == c->active_mm;
	u32 old = ldt[c->active_mm], new = ldt[next->mm];
	u64 shape = (pf & (F_PLAIN | F_USEDFPU)) | (nf & F_PLAIN) << 1;

	*eager = (nf >> 24 >= eager_from) & ((nf >> 2 | any_math) & 1);
	shape |= user & !same;
	shape |= (user & !same & (old != new)) << 1;
	shape |= (user & same & !c->own_bit) << 2;
	shape |= *eager << 6;
	shape |= (((pf ^ nf) & 3) != 0) << 7;
	shape |= ((nf & 3) != 0) << 8;
	shape |= (old != 0) << 19;
	shape |= (new != 0) << 20;
	shape |= (u64)((prev->tls[0] != next->tls[0]) + (prev->tls[1] != next->tls[1]) +
		       (prev->tls[2] != next->tls[2])) << 24;
	return shape;
}

/* A switch on a CPU where something is going on; 0 when it has no row of its own. */
static __attribute__((noinline)) int odd_switch(struct cpu *c, struct task *next, u32 kind, u64 *shape, u64 i,
						u64 t)
{
	int row = 1;

	if (c->target)
		unmatched++;
	c->target = NULL;
	if (c->irq | c->nmi)
		*shape |= 1u << 23;
	c->irq = c->nmi = c->fault = 0;
	if (kind == BEGIN) {
		unmatched += c->window;
		c->window = c->after = 0;
		if (c->mmu)
			c->mmu = c->switched = 1;
		else if (c->open)
			close_seq(c);
		push(c, BEGIN, 0, 1, i, t);
		c->window = 1;
		return 0;
	}
	if (c->mmu && parks) {
		*shape |= 1u << 21;
		push(c, PARK, 0, 1, i, t);
		close_seq(c);
		c->mmu = 0;
		c->cur->flags |= F_PARKED;
	} else if (c->mmu) {
		push(c, SWITCH, *shape, 1, i, t);
		c->mmu = c->switched = 1;
		row = 0;
	} else if (c->open && !c->window && !c->after) {
		close_seq(c);
	}
	*shape |= (u64)(next->flags & F_PARKED) << 1;
	return row;
}

/* Everything but SWITCH and FPU; 0, or what is wrong. */
static __attribute__((noinline)) int other(struct cpu *c, u32 kind, u32 arg, u32 slot, u64 i, u64 t)
{
	struct task *cur = c->cur, *who = cur, *child;
	u32 bit = 0, *depth, flags = cur->flags;
	int pushes = 0, worth = 1;

	if (c->target) {
		if ((kind >= TLS && kind <= GS) || kind == BLOCKSTEP)
			who = c->target;
		else
			unmatched++;
		c->target = NULL;
	}
	switch (kind) {
	case ON:
		if (arg >= nr_tasks)
			return 1;
		unmatched += c->started;
		c->started = 1;
		c->cur = task_of(c, arg);
		if (c->cur->mm)
			use_mm(c, c->cur->mm);
		else
			enter_lazy_tlb(c);
		break;
	case EXEC:
		if (!arg || arg >= MM_MAX)
			return 2;
		flags &= ~(F_NO_MM | F_USEDFPU | F_USED_MATH | F_GS | F_DR | (resets ? F_COUNTER : 0));
		cur->flags = flags | (lazy_fpu ? 0 : F_USEDFPU);
		cur->mm = arg;
		cur->tls[0] = cur->tls[1] = cur->tls[2] = 0;
		use_mm(c, arg);
		break;
	case FORK:
		if (!arg || arg >= nr_tasks)
			return 1;
		child = tasks + arg;
		cur->flags = flags = unlazy(flags);
		child->flags = (flags & ~(F_NO_MM | F_USEDFPU | F_DR | F_PARKED | F_BLOCKSTEP)) |
			       (child->flags & F_NO_MM) | (!lazy_fpu && child->mm ? F_USEDFPU : 0);
		memcpy(child->tls, cur->tls, sizeof(cur->tls));
		break;
	case EXIT:
		cur->flags = (flags & ~(F_IO_BITMAP | F_GS | dropped)) | F_NO_MM;
		cur->mm = 0;
		enter_lazy_tlb(c);
		break;
	case TLS:
		if (slot > 2)
			return 3;
		who->tls[slot] = arg;
		break;
	case LDT:
		if (who->mm)
			ldt[who->mm] = arg;
		else
			unmatched++;
		break;
	case IOPL:
		if (arg > 3)
			return 4;
		who->flags = (who->flags & ~3u) | arg;
		break;
	case IO_BITMAP:
		bit = F_IO_BITMAP;
		break;
	case DR:
		bit = F_DR;
		break;
	case NOTSC:
		bit = F_NOTSC;
		break;
	case GS:
		bit = F_GS;
		break;
	case BLOCKSTEP:
		bit = F_BLOCKSTEP;
		break;
	case FLUSH_IPI:
		if (c->tlb == TLB_LAZY && c->own_bit) {
			count(key_of(1u << 26 | 1, c - cpus, cur->id), i, cur->id, t);
			c->own_bit = 0;
		}
		break;
	case ENTER_MMU:
		pushes = 1;
		c->mmu = c->switched ? 1 : c->mmu + 1;
		break;
	case LEAVE_MMU:
		pushes = 1;
		c->mmu -= c->mmu != 0;
		break;
	case SET_PTE:
		pushes = arg != 0;
		break;
	case READ_PTE:
	case SLEEP:
		pushes = c->open;
		break;
	case IRQ_ENTER:
	case NMI_ENTER:
	case FAULT_ENTER:
		pushes = 1;
		worth = 0;
		(&c->irq)[(kind - IRQ_ENTER) / 2]++;
		break;
	case IRQ_EXIT:
	case NMI_EXIT:
	case FAULT_EXIT:
		worth = 0;
		depth = &c->irq + (kind - IRQ_EXIT) / 2;
		if (*depth) {
			--*depth;
			pushes = c->open;
		} else {
			unmatched += kind != FAULT_EXIT;
		}
		break;
	case USER:
		worth = 0;
		pushes = c->open;
		c->irq = c->nmi = c->fault = 0;
		c->after = 0;
		break;
	case FLUSH:
		pushes = 1;
		break;
	case LOST:
		lost += arg;
		lost_unknown += !arg;
		break;
	case OP:
		if ((arg & 0xffff) >= nr_ops)
			return 5;
		pushes = 1;
		break;
	case END:
		pushes = c->open;
		if (c->window) {
			c->window = 0;
			c->after = 1;
		} else {
			unmatched++;
		}
		break;
	case FOR:
		if (arg >= nr_tasks)
			return 1;
		c->target = task_of(c, arg);
		break;
	case KERNEL_FPU:
		cur->flags = flags & ~(lazy_fpu ? F_USEDFPU : 0);
		break;
	default:
		return 6;
	}
	if (bit) {
		if (arg > 1)
			return 4;
		who->flags = (who->flags & ~bit) | (arg ? bit : 0);
	}
	if (pushes)
		push(c, kind, kind == SET_PTE || kind == OP ? arg : 0, worth, i, t);
	if (c->open && !c->window && !c->after && !(c->mmu | c->irq | c->nmi | c->fault))
		close_seq(c);
	c->deep = (c->mmu | c->irq | c->nmi | c->fault) != 0;
	return 0;
}

static int run(const u64 *ev, u64 n)
{
	for (u64 i = 0; i < n; i++) {
		u64 t = ev[2 * i], w = ev[2 * i + 1];
		u32 cpu = w >> 32 & 0xffff, kind = w >> 48 & 0xff, arg = w;
		struct cpu *c = cpus + cpu;

		if (cpu >= nr_cpus)
			return 7;
		if (kind == SWITCH || kind == BEGIN) {
			struct task *prev = c->cur, *next;
			u32 eager;
			u64 shape;
			int row = 1, odd;

			if (arg >= nr_tasks)
				return 1;
			next = task_of(c, arg);
			shape = shape_of(c, prev, next, &eager);
			odd = kind != SWITCH || c->target || c->deep || next->flags & F_PARKED;
			if (odd)
				row = odd_switch(c, next, kind, &shape, i, t);
			if (row)
				count(key_of(shape, cpu, arg), i, prev->id, t);
			switches++;
			selfs += prev == next;
			prev->flags = unlazy(prev->flags);
			next->flags = (next->flags | eager << 5) + (eager << 24);
			if (next->mm)
				use_mm(c, next->mm);
			else
				enter_lazy_tlb(c);
			c->cur = next;
			c->started = 1;
			if (odd) {
				if (kind == SWITCH && next->flags & F_PARKED) {
					next->flags &= ~F_PARKED;
					push(c, RESUME, 0, 1, i, t);
					c->mmu = 1;
				}
				c->deep = c->mmu != 0;
			}
		} else if (kind == FPU) {
			struct task *cur = c->cur;

			if (lazy_fpu && !(cur->flags & F_USEDFPU)) {
				count(key_of(1u << 26, cpu, cur->id), i, cur->id, t);
				cur->flags = (cur->flags | F_USEDFPU | F_USED_MATH) + (1u << 24);
			}
			if (c->target) {
				unmatched++;
				c->target = NULL;
			}
		} else {
			int bad = other(c, kind, arg, w >> 56, i, t);

			if (bad)
				return bad;
		}
		disorder += t < c->time;
		c->time = t;
		earliest = t < earliest ? t : earliest;
		latest = t > latest ? t : latest;
	}
	return 0;
}

static void *slurp(const char *path, u64 *size)
{
	FILE *f = fopen(path, "rb");
	void *p;

	if (!f)
		exit(2);
	fseek(f, 0, SEEK_END);
	*size = ftell(f);
	rewind(f);
	p = aligned_alloc(4096, (*size + 4096) / 4096 * 4096);
	if (!p || fread(p, 1, *size, f) != *size)
		exit(2);
	fclose(f);
	return p;
}

static void set_up(const u32 *s)
{
	u32 pairs, i;

	free(cpus), free(tasks), free(ldt), free(table), free(arena), free(seq_table);
	nr_cpus = s[0], nr_tasks = s[1] + 1, nr_ops = s[2], pairs = s[3];
	lazy_fpu = s[4], eager_from = s[5], any_math = s[6], resets = s[7], parks = s[8], dropped = s[9];
	cpus = zeroed(nr_cpus, sizeof(*cpus));
	tasks = zeroed(nr_tasks, sizeof(*tasks));
	ldt = calloc(MM_MAX, sizeof(*ldt));
	size_table(12);
	rows = 0, seq_bits = 12;
	seq_table = zeroed(1ull << seq_bits, 8);
	arena = NULL;
	arena_used = arena_room = nr_seqs = 0;
	switches = selfs = disorder = lost = lost_unknown = unmatched = latest = 0;
	earliest = ~0ull;
	for (i = 0; i < nr_cpus; i++) {
		cpus[i].cur = &cpus[i].idle;
		cpus[i].idle.flags = F_NO_MM;
	}
	s += 10;
	for (i = 1; i < nr_tasks; i++, s += 6) {
		struct task *t = tasks + i;

		t->flags = s[0];
		t->mm = s[1];
		memcpy(t->tls, s + 2, sizeof(t->tls));
		if (s[5])
			ldt[t->mm] = s[5];
		t->id = i;
	}
	for (i = 0; i < pairs; i++, s += 2) {
		struct cpu *c = cpus + s[0];

		c->cur = task_of(c, s[1]);
		c->started = 1;
		if (c->cur->mm)
			use_mm(c, c->cur->mm);
	}
}

int main(int argc, char **argv)
{
	u64 size, i, j, n;
	u32 *setup = argc == 4 ? slurp(argv[1], &size) : NULL;
	u64 *ev = setup ? slurp(argv[2], &size) : NULL;
	int runs = setup ? atoi(argv[3]) : 0, bad;

	if (!setup)
		return 2;
	n = size / 16;
	while (runs--) {
		struct timespec a, b;

		set_up(setup);
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
		bad = run(ev, n);
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
		if (bad) {
			fprintf(stderr, "event refused: %d\n", bad);
			return 1;
		}
		printf("ns %lld\n", (b.tv_sec - a.tv_sec) * 1000000000LL + b.tv_nsec - a.tv_nsec);
		fflush(stdout);
	}
	for (i = 0; i < nr_cpus; i++)
		if (cpus[i].open)
			close_seq(cpus + i);
	{
		u64 totals[] = {switches, selfs, disorder, lost, lost_unknown, unmatched, earliest, latest};

		printf("totals");
		for (i = 0; i < sizeof(totals) / sizeof(*totals); i++)
			printf(" %llu", (unsigned long long)totals[i]);
		printf("\n");
	}
	for (i = 0; i < rows; i++) {
		j = firsts[i].key * HASH >> (64 - bits);
		while (table[j].key != firsts[i].key || !table[j].count)
			j = (j + 1) & ((1ull << bits) - 1);
		printf("row %llu %llu %llu %llu\n", (unsigned long long)firsts[i].key,
		       (unsigned long long)table[j].count, (unsigned long long)firsts[i].event_prev,
		       (unsigned long long)firsts[i].time);
	}
	for (i = 0; i < arena_used; i += 1 + (u32)arena[i]) {
		printf("seq");
		for (j = 0; j < (u32)arena[i]; j++)
			printf(" %llu", (unsigned long long)arena[i + 1 + j]);
		printf("\n");
	}
	return 0;
}
