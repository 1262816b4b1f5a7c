import { describe, expect, it } from 'vitest';
import type { Announcement } from './announcement.ts';
import { metricsText, NOTIFIER_METRICS, type NotifierMetric } from './metrics.ts';

const notice: Announcement = { cause: 'spotPreemption', deadline: 1_767_225_720_900, estimated: false, words: 'goes' };

describe('the notifier’s metrics', () => {
  it('tell how long ago each feed answered, how often it did not, and when the machine goes', () => {
    const feeds = new Map([
      ['aws-spot', { answeredAt: 58_500, faults: 2 }],
      ['aws-rebalance', { answeredAt: null, faults: 7 }],
    ]);
    expect(metricsText(feeds, notice, 60_000).split('\n')).toEqual([
      '# HELP vicuna_notifier_faults_total Reads of the metadata service without a definite answer.',
      '# TYPE vicuna_notifier_faults_total counter',
      'vicuna_notifier_faults_total{feed="aws-spot"} 2',
      'vicuna_notifier_faults_total{feed="aws-rebalance"} 7',
      '# HELP vicuna_notifier_answer_age_seconds Time since the last definite answer; +Inf when there was none.',
      '# TYPE vicuna_notifier_answer_age_seconds gauge',
      'vicuna_notifier_answer_age_seconds{feed="aws-spot"} 1.5',
      'vicuna_notifier_answer_age_seconds{feed="aws-rebalance"} +Inf',
      '# HELP vicuna_notifier_deadline_timestamp_seconds When the machine goes, by what its cloud has announced; 0 = nothing is.',
      '# TYPE vicuna_notifier_deadline_timestamp_seconds gauge',
      'vicuna_notifier_deadline_timestamp_seconds 1767225720',
      '',
    ]);
  });

  it('have no deadline while nothing is announced, or only advice', () => {
    for (const announced of [null, { ...notice, deadline: null }])
      expect(metricsText(new Map(), announced, 0)).toContain('\nvicuna_notifier_deadline_timestamp_seconds 0\n');
  });

  it('follow the conventions of Prometheus', () => {
    for (const { name, type, help } of Object.values<NotifierMetric>(NOTIFIER_METRICS)) {
      expect(name.endsWith('_total'), name).toBe(type === 'counter');
      expect(help, name).toMatch(/^\S.*\.$/);
    }
  });
});
