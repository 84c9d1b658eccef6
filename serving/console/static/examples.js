// Example applicants: changes to the one that the API's description shows, by portfolio.

const KNOWN = {
  simulated: [
    [
      "Prime, large and long",
      {
        requested_principal: 35000,
        requested_term_months: 60,
        fico: 790,
        annual_income: 165000,
        dti: 9,
        utilisation: 12,
        inquiries: 0,
      },
    ],
    [
      "Near prime, consolidating",
      {
        requested_principal: 9000,
        fico: 655,
        annual_income: 47000,
        dti: 28,
        utilisation: 78,
        inquiries: 3,
        delinquencies: 1,
        home: "rent",
      },
    ],
    [
      "Small and short",
      { requested_principal: 2000, requested_term_months: 24, purpose: "medical" },
    ],
    [
      "Income too low for the payment",
      { requested_principal: 30000, annual_income: 16000, dti: 45 },
    ],
  ],
  kz2008: [
    [
      "Low risk, twelve months",
      {
        risk_class: "LOW",
        requested_principal: 4000,
        requested_term_months: 12,
        gross_monthly_income: 9000,
        bureau_score: 710,
      },
    ],
    ["No bureau record", { bureau_score: undefined, prior_loans: 1 }],
    ["Income too low for the payment", { requested_principal: 9000, gross_monthly_income: 600 }],
  ],
};

/** Named applications; of an unknown book, the description's own alone. */
export function examples(portfolio, example) {
  const own = Object.keys(example).filter((name) => name !== "features");
  const made = (KNOWN[portfolio] ?? []).map(([name, changes]) => {
    const features = { ...example.features };
    const application = { ...example };
    for (const [field, value] of Object.entries(changes)) {
      if (own.includes(field)) application[field] = value;
      else if (value === undefined) delete features[field];
      else features[field] = value;
    }
    return [name, { ...application, features }];
  });
  return [["The book’s own example", example], ...made];
}
