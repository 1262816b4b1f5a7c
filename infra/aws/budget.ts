import aws from '@pulumi/aws';
import * as pulumi from '@pulumi/pulumi';

export interface AwsBudgetArgs {
  readonly monthly: number;
  readonly emails: readonly string[];
}

/**
 * An alarm by e-mail when the account has spent half, four fifths and all of the month's budget, and when it is forecast to. It watches the
 * whole account: a filter by tag sees nothing until somebody has activated the tag for billing, and then says nothing.
 */
export class AwsBudget extends pulumi.ComponentResource {
  constructor(name: string, { monthly, emails }: AwsBudgetArgs, options: pulumi.ComponentResourceOptions) {
    super('vicuna:aws:Budget', name, {}, options);
    const notification = (notificationType: 'ACTUAL' | 'FORECASTED', threshold: number) => ({
      comparisonOperator: 'GREATER_THAN',
      notificationType,
      threshold,
      thresholdType: 'PERCENTAGE',
      subscriberEmailAddresses: [...emails],
    });
    new aws.budgets.Budget(
      name,
      {
        budgetType: 'COST',
        limitAmount: `${monthly}`,
        limitUnit: 'USD',
        timeUnit: 'MONTHLY',
        notifications: [
          notification('ACTUAL', 50),
          notification('ACTUAL', 80),
          notification('ACTUAL', 100),
          notification('FORECASTED', 100),
        ],
      },
      { parent: this },
    );
    this.registerOutputs();
  }
}
