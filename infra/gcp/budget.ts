import * as gcp from '@pulumi/gcp';
import * as pulumi from '@pulumi/pulumi';

export interface GcpBudgetArgs {
  readonly project: string;
  readonly billingAccount: string;
  readonly monthly: number;
  readonly emails: readonly string[];
}

/** An alarm by e-mail when the project has spent half, four fifths and all of the month's budget, and when it is forecast to. */
export class GcpBudget extends pulumi.ComponentResource {
  constructor(name: string, { project, billingAccount, monthly, emails }: GcpBudgetArgs, options: pulumi.ComponentResourceOptions) {
    super('vicuna:gcp:Budget', name, {}, options);
    const parent = { parent: this };
    const channels = emails.map(
      (email, i) =>
        new gcp.monitoring.NotificationChannel(
          `${name}-${i}`,
          { type: 'email', displayName: `Budget of ${name}`, labels: { email_address: email } },
          parent,
        ),
    );
    const number = gcp.organizations.getProjectOutput({ projectId: project }, { parent: this }).number;
    new gcp.billing.Budget(
      name,
      {
        billingAccount,
        displayName: name,
        amount: { specifiedAmount: { currencyCode: 'USD', units: `${monthly}` } },
        budgetFilter: { projects: [pulumi.interpolate`projects/${number}`] },
        thresholdRules: [
          { thresholdPercent: 0.5 },
          { thresholdPercent: 0.8 },
          { thresholdPercent: 1 },
          { thresholdPercent: 1, spendBasis: 'FORECASTED_SPEND' },
        ],
        allUpdatesRule: { monitoringNotificationChannels: channels.map((channel) => channel.name) },
      },
      parent,
    );
    this.registerOutputs();
  }
}
