/* The core's inner loops: for every cell the tick of highest expected profit, a contract's cents, and
 * the models' linear parts.
 *
 * The same search as finntelligence.search.best_ticks_numpy, compiled; that module gives the bound
 * and why it holds. Depth-first branch and bound over intervals of ticks. Value is that of
 * finntelligence.value, written as earnings on the balance; the hazard comes from a cubic Hermite
 * table over logit(pd) instead of Newton's method (tests hold both together).
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stdint.h>

#define PTI_SHARE_CAP 0.5
#define PRICE_UNIT 0.01
#define MAX_STACK 64
#define LEAF 4

/* columns of the cells array */
enum { LOW, HIGH, ROW, PRINCIPAL, BENCHMARK, A_CONST, A_GAP, A_HINGE,
       R_CONST, R_GAP, R_PTI, PTI_SCALE, R_LIMIT, FACTOR_CAP, CELL_COLUMNS };
/* columns of the result array */
enum { TICK, LAST, P_ACCEPT, R_LOGIT, NPV, PROFIT, BELOW, ABOVE, RESULT_COLUMNS };
/* entries of the economics array */
enum { DISCOUNT, SMM, FEE, ACQUISITION, SERVICING, BALANCE_COST, DEFAULT_COST,
       FUNDS, RAROC_FLOOR, CAPITAL, CAPITAL_COST, ECONOMICS };

typedef struct {
    const double *ticks, *factor, *decay, *monthly;   /* (T), (rows, T) three times */
    const double *terms;                              /* (rows) */
    const double *table;                              /* (rows, nodes, 2): hazard and its slope */
    const double *charges;                            /* (rows, T): shadow price per unit lent */
    Py_ssize_t n_ticks, nodes;
    double z_low, z_step, loss_charge;                /* the latter per unit of exposure lost */
    const double *e;
} Grid;

typedef struct {
    double p_accept, logit, h, h_slope, x, xn, alive, npv, charged, profit;
} Point;

static double power(double base, int n) {
    double result = 1.0;
    while (n) {
        if (n & 1) result *= base;
        base *= base;
        n >>= 1;
    }
    return result;
}

/* sum of z^(t-1), t = 1..n, from z and z^n */
static double geometric(double z, double zn, double n) {
    double gap = z - 1.0;
    if (fabs(gap) > 1e-5) return (zn - 1.0) / gap;
    return n * (1.0 + gap * (n - 1.0) / 2.0 * (1.0 + gap * (n - 2.0) / 3.0 * (1.0 + gap * (n - 3.0) / 4.0)));
}

/* hazard at logit(pd), and its slope there */
static double hazard(const Grid *g, Py_ssize_t row, double logit, double *slope) {
    double place = (logit - g->z_low) / g->z_step;
    double last = (double)(g->nodes - 1);
    int clipped = place < 0 || place > last;
    if (place < 0) place = 0;
    if (place > last) place = last;
    Py_ssize_t k = (Py_ssize_t)place;
    if (k > g->nodes - 2) k = g->nodes - 2;
    double t = place - (double)k;
    const double *p = g->table + (row * g->nodes + k) * 2;
    double d0 = p[1] * g->z_step, d1 = p[3] * g->z_step, rise = p[2] - p[0];
    double c = d0 + d1 - 2.0 * rise, b = rise - d0 - c;
    *slope = clipped ? 0.0 : (d0 + t * (2.0 * b + 3.0 * t * c)) / g->z_step;
    return p[0] + t * (d0 + t * (b + t * c));
}

/* discounted, survival-weighted balance at risk, per unit lent: sum of x^(t-1) B[t-1] */
static double balance(double u, double factor, double decay, double x, double xn, double alive,
                      double n) {
    if (u == 0.0) {
        double ramp = 0.0, weight = 1.0;  /* term by term: the closed form cancels as x nears 1 */
        for (int t = 1; t < n; t++) ramp += t * (weight *= x);
        return alive - ramp / n;
    }
    return factor / u * (alive - decay * geometric(x * (1.0 + u), xn / decay, n));
}

/* monthly earnings per unit of balance: interest less funding, capital, servicing and defaults */
static double margin(const double *e, double u, double h) {
    return (1.0 - h) * u - e[BALANCE_COST] - h * e[DEFAULT_COST];
}

static double risk_logit(const Grid *g, const double *cell, Py_ssize_t tick) {
    double gap = (g->ticks[tick] - cell[BENCHMARK]) / PRICE_UNIT;
    double share = cell[PTI_SCALE] * g->factor[(Py_ssize_t)cell[ROW] * g->n_ticks + tick];
    if (share > PTI_SHARE_CAP) share = PTI_SHARE_CAP;
    return cell[R_CONST] + cell[R_GAP] * gap + cell[R_PTI] * 10.0 * share;
}

static int within_limits(const Grid *g, const double *cell, Py_ssize_t tick) {
    return g->factor[(Py_ssize_t)cell[ROW] * g->n_ticks + tick] <= cell[FACTOR_CAP] &&
           risk_logit(g, cell, tick) <= cell[R_LIMIT];
}

/* the last tick within the payment's and the risk's limits, low - 1 if none: both rise in the price */
static Py_ssize_t last_within_limits(const Grid *g, const double *cell) {
    Py_ssize_t low = (Py_ssize_t)cell[LOW], high = (Py_ssize_t)cell[HIGH];
    if (high < low || within_limits(g, cell, high)) return high;
    Py_ssize_t inside = low - 1;
    while (high - inside > 1) {
        Py_ssize_t mid = inside + (high - inside) / 2;
        if (within_limits(g, cell, mid)) inside = mid;
        else high = mid;
    }
    return inside;
}

static Point evaluate(const Grid *g, const double *cell, Py_ssize_t tick) {
    const double *e = g->e;
    Py_ssize_t row = (Py_ssize_t)cell[ROW], at = row * g->n_ticks + tick;
    int n = (int)g->terms[row];
    double gap = (g->ticks[tick] - cell[BENCHMARK]) / PRICE_UNIT;
    Point p;
    double la = cell[A_CONST] + cell[A_GAP] * gap + (gap > 0 ? cell[A_HINGE] * gap : 0.0);
    p.p_accept = 1.0 / (1.0 + exp(-la));
    p.logit = risk_logit(g, cell, tick);
    p.h = hazard(g, row, p.logit, &p.h_slope);
    p.x = (1.0 - p.h) * (1.0 - e[SMM]) * e[DISCOUNT];
    p.xn = power(p.x, n);
    p.alive = geometric(p.x, p.xn, n);
    double u = g->monthly[at], lent = cell[PRINCIPAL];
    double before = e[DISCOUNT] * balance(u, g->factor[at], g->decay[at], p.x, p.xn, p.alive, n);
    p.npv = lent * (e[FEE] + before * margin(e, u, p.h)) - e[ACQUISITION] - e[SERVICING] * p.alive;
    p.charged = p.npv - lent * (g->charges[at] + g->loss_charge * before * p.h);
    int refused = p.npv <= 0 || p.charged <= 0;
    if (!refused && e[RAROC_FLOOR] > -1e300) {
        double capital = e[CAPITAL] * before * lent;
        double earned = p.npv + e[CAPITAL_COST] * before * lent;
        refused = capital > 0 && e[FUNDS] + 12.0 * earned / capital < e[RAROC_FLOOR];
    }
    p.profit = refused ? -1.0 : p.p_accept * p.charged;
    return p;
}

/* the least that the logit of acceptance falls from tick i to tick j, were its slope the gentlest */
static double acceptance_fall(const Grid *g, const double *cell, Py_ssize_t i, Py_ssize_t j) {
    double below = -cell[A_GAP], above = -(cell[A_GAP] + cell[A_HINGE]), gentlest;
    double from = (g->ticks[i] - cell[BENCHMARK]) / PRICE_UNIT;
    double to = (g->ticks[j] - cell[BENCHMARK]) / PRICE_UNIT;
    if (from >= 0) gentlest = above;
    else if (to <= 0) gentlest = below;
    else gentlest = below < above ? below : above;
    return gentlest > 0 ? gentlest * (to - from) : 0.0;
}

/* the least that the hazard rises from tick i to tick j, as a line from tick i lies below it */
static double hazard_rise(const Grid *g, const double *cell, Py_ssize_t i, const Point *pi,
                          Py_ssize_t j) {
    Py_ssize_t row = (Py_ssize_t)cell[ROW], at = row * g->n_ticks;
    double logit_rise = cell[R_GAP] * (g->ticks[j] - g->ticks[i]) / PRICE_UNIT, slope;
    if (cell[PTI_SCALE] * g->factor[at + j] < PTI_SHARE_CAP)  /* payments are convex in the tick */
        logit_rise += cell[R_PTI] * 10.0 * cell[PTI_SCALE] * (double)(j - i) *
                      (g->factor[at + i + 1] - g->factor[at + i]);
    double chord = hazard(g, row, pi->logit + logit_rise, &slope) - pi->h;
    double tangent = pi->h_slope * logit_rise;
    return chord < tangent ? chord : tangent;
}

/* No profit on ticks i..j is above this; finntelligence.search says why. */
static double upper_bound(const Grid *g, const double *cell, Py_ssize_t i, const Point *pi,
                          Py_ssize_t j, const Point *pj) {
    const double *e = g->e;
    Py_ssize_t row = (Py_ssize_t)cell[ROW], at = row * g->n_ticks;
    const double *u = g->monthly + at;
    double steps = (double)(j - i), chord = (u[j] - u[i]) / steps, first = u[i + 1] - u[i];
    double rise = (first > chord ? first : chord) * steps;  /* u is concave or linear in the tick */
    /* what is charged on losses makes a default dearer */
    double m0 = margin(e, u[i], pi->h) - pi->h * g->loss_charge, m1 = m0 + (1.0 - pi->h) * rise -
                hazard_rise(g, cell, i, pi, j) * (u[i] + e[DEFAULT_COST] + g->loss_charge);
    double n = g->terms[row], lent = cell[PRINCIPAL] * e[DISCOUNT], most = 0.0, least = 0.0;
    if (m0 > 0 || m1 > 0)
        most = lent * balance(u[j], g->factor[at + j], g->decay[at + j], pi->x, pi->xn, pi->alive, n);
    if (m0 < 0 || m1 < 0)
        least = lent * balance(u[i], g->factor[at + i], g->decay[at + i], pj->x, pj->xn, pj->alive, n);
    double earned = m0 * (m0 > 0 ? most : least);
    double gain = m1 * (m1 > 0 ? most : least) - earned;
    /* what is charged on the principal never falls along the ticks */
    double start = cell[PRINCIPAL] * (e[FEE] - g->charges[at + i]) - e[ACQUISITION] -
                   e[SERVICING] * pj->alive + earned;
    /* the highest of exp(-fall t) (start + gain t) on 0 <= t <= 1 */
    double fall = acceptance_fall(g, cell, i, j) * (1.0 - pi->p_accept), t = 0.0;
    if (gain > 0) {
        t = fall > 0 ? 1.0 / fall - start / gain : 1.0;
        if (t < 0) t = 0.0;
        if (t > 1) t = 1.0;
    }
    double npv = start + gain * t;
    return npv > 0 ? pi->p_accept * exp(-fall * t) * npv : -1.0;
}

typedef struct { Py_ssize_t i, j; Point a, b; double bound; } Interval;

static void take(Py_ssize_t tick, const Point *p, Py_ssize_t *best, Point *best_point) {
    if (p->profit > 0 &&
        (*best < 0 || p->profit > best_point->profit ||
         (p->profit == best_point->profit && tick < *best))) {
        *best = tick;
        *best_point = *p;
    }
}

static Py_ssize_t search_cell(const Grid *g, const double *cell, Py_ssize_t high,
                              Point *best_point) {
    Py_ssize_t low = (Py_ssize_t)cell[LOW], best = -1;
    if (high < low) return -1;
    Interval stack[MAX_STACK];
    int depth = 0;
    Interval whole = {low, high, evaluate(g, cell, low), evaluate(g, cell, high), INFINITY};
    take(low, &whole.a, &best, best_point);
    take(high, &whole.b, &best, best_point);
    stack[depth++] = whole;
    while (depth) {
        Interval now = stack[--depth];
        if (now.bound <= 0 || (best >= 0 && now.bound < best_point->profit)) continue;
        if (now.j - now.i <= LEAF) {  /* cheaper to value than to bound */
            for (Py_ssize_t tick = now.i + 1; tick < now.j; tick++) {
                Point p = evaluate(g, cell, tick);
                take(tick, &p, &best, best_point);
            }
            continue;
        }
        Py_ssize_t mid = (now.i + now.j) / 2;
        Point m = evaluate(g, cell, mid);
        take(mid, &m, &best, best_point);
        Interval left = {now.i, mid, now.a, m, 0}, right = {mid, now.j, m, now.b, 0};
        left.bound = upper_bound(g, cell, now.i, &now.a, mid, &m);
        right.bound = upper_bound(g, cell, mid, &m, now.j, &now.b);
        /* the more promising half is searched first: it sets the mark for the other */
        if (left.bound > right.bound) { stack[depth++] = right; stack[depth++] = left; }
        else { stack[depth++] = left; stack[depth++] = right; }
    }
    return best;
}

/* `kind` is 'd' for float64, 'l' for int64 */
static int numbers(PyObject *object, Py_buffer *view, const char *name, char kind) {
    if (PyObject_GetBuffer(object, view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) < 0) return 0;
    const char found = view->format == NULL ? 0 : view->format[0];
    if (view->itemsize != 8 || (found != kind && !(kind == 'l' && found == 'q'))) {
        PyErr_Format(PyExc_ValueError, "%s must hold contiguous %s", name,
                     kind == 'd' ? "float64" : "int64");
        PyBuffer_Release(view);
        return 0;
    }
    return 1;
}

static int doubles(PyObject *object, Py_buffer *view, const char *name, Py_ssize_t least) {
    if (!numbers(object, view, name, 'd')) return 0;
    if (view->len < least * (Py_ssize_t)sizeof(double)) {
        PyErr_Format(PyExc_ValueError, "%s must hold at least %zd contiguous float64", name, least);
        PyBuffer_Release(view);
        return 0;
    }
    return 1;
}

PyDoc_STRVAR(best_ticks_doc,
"best_ticks(cells, result, ticks, factor, decay, monthly, charges, terms, table, economics, "
"z_low, z_step, loss_charge)\n\n"
"Fill `result` (cells, 8) for `cells` (cells, 14); see finntelligence.search.");

static PyObject *best_ticks(PyObject *self, PyObject *args) {
    PyObject *o[10];
    Grid g;
    if (!PyArg_ParseTuple(args, "OOOOOOOOOOddd", &o[0], &o[1], &o[2], &o[3], &o[4], &o[5], &o[6],
                          &o[7], &o[8], &o[9], &g.z_low, &g.z_step, &g.loss_charge))
        return NULL;
    static const char *names[10] = {"cells", "result", "ticks", "factor", "decay", "monthly",
                                    "charges", "terms", "table", "economics"};
    Py_buffer v[10];
    int held = 0;
    PyObject *answer = NULL;
    for (; held < 10; held++)
        if (!doubles(o[held], &v[held], names[held], held == 9 ? ECONOMICS : 0)) goto done;
    Py_ssize_t count = v[0].len / (Py_ssize_t)sizeof(double) / CELL_COLUMNS;
    Py_ssize_t rows = v[7].len / (Py_ssize_t)sizeof(double);
    g.n_ticks = v[2].len / (Py_ssize_t)sizeof(double);
    g.nodes = rows ? v[8].len / (Py_ssize_t)sizeof(double) / 2 / rows : 0;
    Py_ssize_t needed = rows * g.n_ticks * (Py_ssize_t)sizeof(double);
    if (v[1].readonly || v[1].len < count * RESULT_COLUMNS * (Py_ssize_t)sizeof(double) ||
        v[3].len < needed || v[4].len < needed || v[5].len < needed || v[6].len < needed || g.nodes < 2) {
        PyErr_SetString(PyExc_ValueError, "arrays do not fit each other");
        goto done;
    }
    g.ticks = v[2].buf; g.factor = v[3].buf; g.decay = v[4].buf; g.monthly = v[5].buf;
    g.charges = v[6].buf; g.terms = v[7].buf; g.table = v[8].buf; g.e = v[9].buf;
    const double *cells = v[0].buf;
    double *result = v[1].buf;
    for (Py_ssize_t c = 0; c < count; c++) {
        const double *cell = cells + c * CELL_COLUMNS;
        if (!(cell[ROW] >= 0 && cell[ROW] < rows) ||
            (cell[HIGH] >= cell[LOW] && !(cell[LOW] >= 0 && cell[HIGH] < g.n_ticks))) {
            PyErr_Format(PyExc_ValueError, "cell %zd is outside the grid", c);
            goto done;
        }
    }
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t c = 0; c < count; c++) {
        const double *cell = cells + c * CELL_COLUMNS;
        double *out = result + c * RESULT_COLUMNS;
        Point p = {0};
        Py_ssize_t last = last_within_limits(&g, cell);
        Py_ssize_t tick = search_cell(&g, cell, last, &p);
        out[TICK] = (double)tick;
        out[LAST] = (double)last;
        if (tick < 0) continue;
        out[P_ACCEPT] = p.p_accept; out[R_LOGIT] = p.logit; out[NPV] = p.npv; out[PROFIT] = p.profit;
        Point below = tick > 0 ? evaluate(&g, cell, tick - 1) : p;
        Point above = tick + 1 < g.n_ticks ? evaluate(&g, cell, tick + 1) : p;
        out[BELOW] = below.p_accept * below.charged;
        out[ABOVE] = above.p_accept * above.charged;
    }
    Py_END_ALLOW_THREADS
    answer = Py_NewRef(Py_None);
done:
    while (held--) PyBuffer_Release(&v[held]);
    return answer;
}

PyDoc_STRVAR(contract_total_doc,
"contract_total(balance, level, rate, term_months)\n\n"
"Sum of a contract's payments in cents; see finntelligence.cashflow.contract_payments. `rate` is\n"
"the yearly rate in units of 1e-12.");

static PyObject *contract_total(PyObject *self, PyObject *args) {
    long long balance, level, rate, owed;
    int term, month = 0;
    if (!PyArg_ParseTuple(args, "LLLi", &balance, &level, &rate, &term)) return NULL;
    if (balance < 0 || level < 0 || rate < 0 || term < 1)
        return PyErr_Format(PyExc_ValueError, "a contract has no negative amounts and a term");
    const __int128 year = (__int128)12 * 1000000000000LL;
    for (;;) {
        month++;
        owed = balance + (long long)((2 * (__int128)balance * rate + year) / (2 * year));
        if (level >= owed || month == term) return PyLong_FromLongLong(level * (month - 1) + owed);
        balance = owed - level;
    }
}

PyDoc_STRVAR(monthly_rate_doc,
"monthly_rate(payment, amount, term_months)\n\n"
"The rate a month at which level payments are worth the amount, and 0 where they only return it;\n"
"see finntelligence.cashflow.");

static PyObject *monthly_rate(PyObject *self, PyObject *args) {
    double payment, amount, n;
    if (!PyArg_ParseTuple(args, "ddd", &payment, &amount, &n)) return NULL;
    const double target = payment / amount;
    if (fabs(n * target - 1) < 1e-15) return PyFloat_FromDouble(0.0);
    double u = 2 * (n * target - 1) / (n + 1);
    for (int i = 0; i < 60; i++) {
        double factor, slope;
        if (fabs(u) < 1e-7) {
            factor = 1 / n + u * (n + 1) / (2 * n) + u * u * (n * n - 1) / (12 * n);
            slope = (n + 1) / (2 * n);
        } else {
            const double paid_off = -expm1(-n * log1p(u));
            factor = u / paid_off;
            slope = (paid_off - u * n * (1 - paid_off) / (1 + u)) / (paid_off * paid_off);
        }
        const double step = (factor - target) / slope;
        u -= step;
        if (fabs(step) < 1e-14) break;
    }
    return PyFloat_FromDouble(u);
}

/* what a column of a linear part's basis is; finntelligence.basis names them in this order */
enum { Z, LOG_Z, SQUARE, LOG_SQUARE, FLAG, MISSING, KINDS };

static double basis_value(double given, int64_t kind, double low, double high, double mean,
                          double sd) {
    if (kind == MISSING) return isnan(given) ? 1.0 : 0.0;
    if (kind == FLAG) return given;
    double z = 0.0;
    if (!isnan(given)) {
        double within = given < low ? low : given > high ? high : given;
        if (kind == LOG_Z || kind == LOG_SQUARE) within = log(within);
        z = (within - mean) / sd;
    }
    return kind == SQUARE || kind == LOG_SQUARE ? (z * z - 1.0) / 2.0 : z;
}

typedef struct {
    const double *matrix, *bounds, *scale, *weights;  /* (n, features), (2, B) twice, (1 + B, heads) */
    const int64_t *position, *kind;                   /* (B) */
    double *result;                                   /* (n, heads) */
    Py_ssize_t rows, features, columns, heads;
} Linear;

static int is_table(const Py_buffer *view, Py_ssize_t rows, Py_ssize_t columns) {
    return view->ndim == 2 && view->shape[0] == rows && view->shape[1] == columns;
}

/* what `linear_part` was given, in its order */
static int read_linear(const Py_buffer *v, Linear *l) {
    int fits = v[0].ndim == 2 && v[2].ndim == 1 && v[3].ndim == 1 && v[6].ndim == 2;
    if (fits) {
        l->rows = v[0].shape[0];
        l->features = v[0].shape[1];
        l->columns = v[2].shape[0];
        l->heads = v[6].shape[1];
        fits = is_table(&v[1], l->rows, l->heads) && !v[1].readonly &&
               v[3].shape[0] == l->columns && is_table(&v[4], 2, l->columns) &&
               is_table(&v[5], 2, l->columns) && v[6].shape[0] == l->columns + 1;
    }
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "arrays do not fit each other");
        return 0;
    }
    l->matrix = v[0].buf; l->result = v[1].buf; l->position = v[2].buf; l->kind = v[3].buf;
    l->bounds = v[4].buf; l->scale = v[5].buf; l->weights = v[6].buf;
    for (Py_ssize_t j = 0; j < l->columns; j++)
        if (l->position[j] < 0 || l->position[j] >= l->features || l->kind[j] < 0 ||
            l->kind[j] >= KINDS) {
            PyErr_Format(PyExc_ValueError, "basis column %zd is outside the matrix", j);
            return 0;
        }
    return 1;
}

PyDoc_STRVAR(linear_part_doc,
"linear_part(matrix, result, position, kind, bounds, scale, weights)\n\n"
"Fill `result` (n, heads) for `matrix` (n, features); see finntelligence.basis.");

static PyObject *linear_part(PyObject *self, PyObject *args) {
    PyObject *o[7];
    if (!PyArg_ParseTuple(args, "OOOOOOO", &o[0], &o[1], &o[2], &o[3], &o[4], &o[5], &o[6]))
        return NULL;
    static const char *names[7] = {"matrix", "result", "position", "kind", "bounds", "scale",
                                   "weights"};
    Py_buffer v[7];
    Linear l;
    int held = 0;
    PyObject *answer = NULL;
    for (; held < 7; held++)
        if (!numbers(o[held], &v[held], names[held], held == 2 || held == 3 ? 'l' : 'd')) goto done;
    if (!read_linear(v, &l)) goto done;
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t i = 0; i < l.rows; i++) {
        const double *row = l.matrix + i * l.features, *weight = l.weights;
        double *total = l.result + i * l.heads;
        for (Py_ssize_t k = 0; k < l.heads; k++) total[k] = weight[k];
        for (Py_ssize_t j = 0; j < l.columns; j++) {
            weight += l.heads;
            double value = basis_value(row[l.position[j]], l.kind[j], l.bounds[j],
                                       l.bounds[l.columns + j], l.scale[j], l.scale[l.columns + j]);
            for (Py_ssize_t k = 0; k < l.heads; k++) total[k] += value * weight[k];
        }
    }
    Py_END_ALLOW_THREADS
    answer = Py_NewRef(Py_None);
done:
    while (held--) PyBuffer_Release(&v[held]);
    return answer;
}

static PyMethodDef methods[] = {
    {"best_ticks", best_ticks, METH_VARARGS, best_ticks_doc},
    {"linear_part", linear_part, METH_VARARGS, linear_part_doc},
    {"contract_total", contract_total, METH_VARARGS, contract_total_doc},
    {"monthly_rate", monthly_rate, METH_VARARGS, monthly_rate_doc},
    {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_search", "The core's inner loops, compiled.", -1, methods,
    NULL, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit__search(void) { return PyModule_Create(&module); }
