# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
"""Reports: a table, CSV, JSON and plots of samples.

A sample is a dictionary of PARAMETERS, which say what was measured, and of
figures, or 'skipped' with the reason.
"""

import collections
import csv
import json
import os
import statistics
import subprocess

PARAMETERS = ('workload', 'contender', 'pmds', 'tso', 'flows', 'size')

TCP_FIGURES = (('gbps', 'Gb/s', '%.2f'),
               ('retransmits', 'retransmits', '%.0f'))

# Workload -> (figure, heading, format).  The first is the one to compare.
FIGURES = {
    'throughput': (
        ('mpps', 'Mframes/s', '%.3f'),
        ('gbps', 'Gb/s', '%.2f'),
        ('tx_cycles', 'cyc/f h1', '%.0f'),
        ('rx_cycles', 'cyc/f h2', '%.0f'),
        ('tx_busy', 'busy h1', '%.2f'),
        ('rx_busy', 'busy h2', '%.2f'),
        ('tx_cpu', 'CPU h1', '%.2f'),
        ('rx_cpu', 'CPU h2', '%.2f'),
        ('instructions', 'instr/f', '%.0f'),
        ('frames_per_message', 'frames/msg', '%.1f'),
        ('syscalls', 'syscalls/f', '%.4f'),
        ('loss', 'loss', '%.3f'),
        ('memory', 'MiB', '%.0f')),
    'turns': (
        ('mpps', 'Mframes/s', '%.3f'),
        ('gbps', 'Gb/s', '%.2f')),
    'vhost': (
        ('per_core', 'Mframes/core-s', '%.2f'),
        ('mpps', 'Mframes/s', '%.3f'),
        ('tx_switch', 'switch h1', '%.2f'),
        ('rx_switch', 'switch h2', '%.2f'),
        ('frames_per_message', 'frames/msg', '%.1f')),
    'latency': (
        ('p50', 'us p50', '%.0f'),
        ('p99', 'us p99', '%.0f'),
        ('loss', 'loss', '%.3f')),
    'tcp': TCP_FIGURES,
    'tcp-vms': TCP_FIGURES,
}

PLOT = '''set terminal svg size 900,600 dynamic background rgb "white"
set title "%(title)s"
set xlabel "frame size (bytes)"
set ylabel "%(label)s"
set logscale x 2
set yrange [0:*]
set key outside right
set grid
set style data yerrorlines
plot %(curves)s
'''


def group(samples):
    """Returns {parameters: [sample]}, in the order of the first samples."""
    groups = collections.OrderedDict()
    for sample in samples:
        key = tuple(sample.get(name) for name in PARAMETERS)
        groups.setdefault(key, []).append(sample)
    return groups


def summarize(samples):
    """Returns one row for each group: its parameters, the median of each
    figure, and the least and the greatest of the first figure."""
    rows = []
    for key, members in group(samples).items():
        row = dict(zip(PARAMETERS, key))
        figures = FIGURES[row['workload']]
        good = [m for m in members if 'skipped' not in m]
        row['rounds'] = len(good)
        if good:
            for name, _, _ in figures:
                values = [m[name] for m in good if m.get(name) is not None]
                row[name] = statistics.median(values) if values else None
            firsts = [m[figures[0][0]] for m in good]
            row['least'], row['most'] = min(firsts), max(firsts)
            row['losses'] = good[-1].get('losses', {})
        else:
            row['skipped'] = members[-1]['skipped']
        rows.append(row)
    return rows


def cell(value, how):
    return 'n/a' if value is None else how % value


def table_line(row, figures):
    cells = [str(row[name]) for name in PARAMETERS[1:]
             if row[name] is not None]
    if 'skipped' in row:
        return cells, 'skipped: ' + row['skipped']
    how = figures[0][2]
    values = [cell(row[name], how) for name, _, how in figures]
    values.insert(1, '%s-%s' % (cell(row['least'], how),
                                cell(row['most'], how)))
    return cells + values, ''


def print_table(rows):
    """Prints a table for each workload, and what was lost where."""
    for workload, figures in FIGURES.items():
        mine = [row for row in rows if row['workload'] == workload]
        if not mine:
            continue
        headings = [name for name in PARAMETERS[1:]
                    if mine[0][name] is not None]
        headings += [heading for _, heading, _ in figures]
        headings.insert(len(headings) - len(figures) + 1, 'spread')
        lines = [(headings, '')] + [table_line(row, figures) for row in mine]
        widths = [max(len(line[i]) for line, _ in lines if i < len(line))
                  for i in range(len(headings))]
        print('\n%s, medians\n' % workload)
        for cells, rest in lines:
            print('  '.join([c.rjust(w) for c, w in zip(cells, widths)]
                            + [rest]).rstrip())
        print_losses(mine)


def print_losses(rows):
    for row in rows:
        if row.get('losses'):
            print('%s, %s B, %s flows, lost in the last round: %s'
                  % (row['contender'], row['size'], row['flows'],
                     ', '.join('%s %d' % item
                               for item in row['losses'].items())))


def write_csv(rows, path):
    names = list(PARAMETERS) + ['rounds', 'least', 'most']
    for figures in FIGURES.values():
        names += [name for name, _, _ in figures if name not in names]
    with open(path, 'w', newline='') as f:
        writer = csv.DictWriter(f, names + ['skipped'], extrasaction='ignore')
        writer.writeheader()
        writer.writerows(rows)


def write_json(machine, config, samples, path):
    with open(path, 'w') as f:
        json.dump({'machine': machine, 'config': config, 'samples': samples},
                  f, indent=1)


# Plots.

def curve(rows, figure):
    """Returns the data of one curve: size, median, least and most."""
    first = FIGURES['throughput'][0][0]
    return ''.join('%d %g %g %g\n' % (
        row['size'], row[figure],
        row['least'] if figure == first else row[figure],
        row['most'] if figure == first else row[figure])
        for row in rows if row.get(figure) is not None) + 'e\n'


def plot(rows, figure, label, title, path):
    """Draws 'figure' over the size of frames, a curve for each contender."""
    by_contender = collections.OrderedDict()
    for row in sorted(rows, key=lambda row: row['size']):
        by_contender.setdefault(row['contender'], []).append(row)
    curves = {name: curve(mine, figure)
              for name, mine in by_contender.items()}
    curves = {name: data for name, data in curves.items() if data != 'e\n'}
    if not curves:
        return
    script = PLOT % {
        'title': title, 'label': label,
        'curves': ', '.join("'-' title '%s'" % name for name in curves)}
    svg = subprocess.run(['gnuplot'], input=script + ''.join(curves.values()),
                         text=True, capture_output=True, check=True).stdout
    with open(path, 'w') as f:
        f.write(svg)


def draw_plots(rows, directory):
    """Returns the paths of the plots."""
    paths = []
    rows = [row for row in rows
            if row['workload'] == 'throughput' and 'skipped' not in row]
    for pmds, flows in sorted({(row['pmds'], row['flows']) for row in rows}):
        mine = [row for row in rows
                if (row['pmds'], row['flows']) == (pmds, flows)]
        for figure, label in (('mpps', 'million frames/s received'),
                              ('gbps', 'Gb/s received'),
                              ('tx_cycles', 'cycles per frame, host 1'),
                              ('rx_cycles', 'cycles per frame, host 2')):
            path = os.path.join(directory, '%s-%d-flows-%d-pmds.svg'
                                % (figure.replace('_', '-'), flows, pmds))
            plot(mine, figure, label, '%d flow(s), %d PMD thread(s) per host'
                 % (flows, pmds), path)
            paths.append(path)
    return paths
